"""The names that are looked for."""

import os
from collections.abc import Sequence

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import MAX_SMALL_BYTES, decode_text, excerpt, read_bytes, user_path

SPELLED = (".txt", ".csv", ".json", ".names")
"""Endings that show that a file is meant."""


def read_names(given: str) -> tuple[str, ...]:
    """Return the names in a file, one a line, or those of a text with commas.

    Raises:
        UserError: the file cannot be read, or a name is wrong; see `check_names`.
    """
    path = user_path(given)
    if os.path.exists(path) or given.endswith(SPELLED) or os.sep in given:
        text = decode_text(read_bytes(path, MAX_SMALL_BYTES), path)
        lines = [(f"{path}:{number}", line.strip()) for number, line in enumerate(text.splitlines(), 1)]
        return check_names([(place, name) for place, name in lines if name], str(path))
    return check_names([("--names", name.strip()) for name in given.split(",")], "--names")


def check_names(placed: Sequence[tuple[str, str]], source: str) -> tuple[str, ...]:
    """Return names, each with its place for messages, as they are.

    Raises:
        UserError: there is none, one has no letter, or one is there twice in any case.
    """
    seen: dict[str, str] = {}
    for place, name in placed:
        if not any(c.isalpha() for c in name):
            raise UserError(
                f"{place}: the name {excerpt(name)} has no letter; write what can be seen, as 'cup'"
            )
        form = " ".join(name.casefold().replace("_", " ").split())
        if form in seen:
            other = "" if seen[form] == name else f", as {excerpt(seen[form])}"
            raise UserError(f"{place}: the name {excerpt(name)} is there twice{other}; leave one out")
        seen[form] = name
    if not seen:
        raise UserError(f"{source}: holds no names")
    return tuple(name for _, name in placed)
