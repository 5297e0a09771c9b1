"""A YAML file of settings, read as fields."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import MAX_SMALL_BYTES, decode_text, excerpt, read_bytes

MAX_YAML_NODES = 100_000
"""The most values of a settings file. Real ones have some tens."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the fields of a file; none where it is empty.

    Raises:
        UserError: the file cannot be read, is not YAML, or holds something else than fields.
    """
    try:
        content = _load_yaml(decode_text(read_bytes(path, MAX_SMALL_BYTES), path))
    except RecursionError as error:
        raise UserError(f"{path}: is not valid YAML (nested too deeply)") from error
    except ValueError as error:  # an integer of thousands of digits, the 31st of February
        raise UserError(f"{path}: is not valid YAML ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or error
        raise UserError(f"{path}{line}: is not valid YAML ({problem})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected fields like 'dataset: scenes', found {excerpt(content)}")
    return {str(key): value for key, value in content.items()}


def _load_yaml(text: str) -> Any:
    """Return the content of a YAML document.

    An alias repeats a part of the document, so that a few lines of aliases to aliases are gigabytes when written out.
    The size is counted before anything is written out.

    Raises:
        yaml.YAMLError: it is not YAML.
        ValueError: it has a value that is none, or more than `MAX_YAML_NODES` values.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _count_nodes(root, {})
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _count_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values below a node, with every alias written out. A node inside itself counts as one."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = 1
    inner: Iterable[yaml.Node] = ()
    if isinstance(node, yaml.MappingNode):
        inner = (part for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    count = 1 + sum(_count_nodes(part, known) for part in inner)
    if count > MAX_YAML_NODES:
        raise ValueError(f"more than {MAX_YAML_NODES:,} values, with every alias written out")
    known[id(node)] = count
    return count
