"""The pages that are made from the program hold all of it. These tests need no Sphinx."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS


@pytest.fixture(autouse=True)
def _extensions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the modules of the site importable, as its conf.py does."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    yield
    for name in ("api_pages", "cli_pages", "page_parts", "plain_docstrings", "schema_pages"):
        sys.modules.pop(name, None)


def test_every_verb_has_a_page_with_every_option() -> None:
    import cli_pages

    from eidolon.benchmark.cli import VERBS

    pages = cli_pages.pages()
    assert {file.split("-")[0].removesuffix(".md") for file in pages} == {*VERBS, "config", "index"}
    for name, command, _ in cli_pages.verbs():
        text = pages[f"{name.replace(' ', '-')}.md"]
        assert text.startswith(f"# eidolon {name}\n")
        options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
        for option in options:
            assert option.hidden or all(name in text for name in option.opts)


def test_every_page_of_a_verb_ends_with_examples() -> None:
    import cli_pages

    pages = cli_pages.pages()
    for name, _, _ in cli_pages.verbs():
        _, _, examples = pages[f"{name.replace(' ', '-')}.md"].partition("## Examples\n")
        assert f"eidolon {name.split()[0]} " in examples, name


def test_every_setting_is_on_the_page_of_configuration_files() -> None:
    import cli_pages

    from eidolon.benchmark.settings.run import RunSettings

    text = cli_pages.config_page()
    assert all(f"| `{field}` | `-" in text for field in RunSettings.model_fields)


@pytest.mark.parametrize(
    ("record", "cells"),
    [
        (("--limit <int>", "Most samples.  [default: (all)]"), ["`--limit <int>`", "Most samples.", "all"]),
        (("--json", "Print [JSON] text."), ["`--json`", r"Print \[JSON\] text.", ""]),
        (("RUN", "A folder.  [required]"), ["`RUN`", "A folder.", "required"]),
    ],
)
def test_a_default_has_its_own_cell(record: tuple[str, str], cells: list[str]) -> None:
    import cli_pages

    assert cli_pages._row(*record) == cells


def test_an_epilog_becomes_examples() -> None:
    import cli_pages

    assert cli_pages._examples("Try:\n\n$ eidolon list models\n") == [
        *("Try:", ""),
        *("```sh", "eidolon list models", "```", ""),
    ]


def test_every_format_has_a_page_with_every_field() -> None:
    import schema_pages

    pages = schema_pages.pages()
    for name, schema in schema_pages.schemas():
        records = [schema, *schema.get("$defs", {}).values()]
        for record in records:
            for field in record.get("properties", {}):
                assert f"| `{field}` |" in pages[f"{name}.md"]


def test_a_field_is_described_by_its_docstring() -> None:
    from eidolon.benchmark.json_schemas import read
    from eidolon.benchmark.store.record import RunRecord

    schema = read("run")
    about = schema["properties"]["sample_ids"], schema["properties"]["usage"], schema["properties"]["files"]
    assert "description" not in about[0]  # has no docstring
    assert about[1]["description"].startswith("What the requests of all sessions used")
    assert about[2]["description"] == (
        "The SHA-256 of the folder's other files, by name. Null until the run has ended."
    )
    assert schema["description"] == RunRecord.__doc__


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Mention"}}, {"type": "null"}]},
            "list of Mention, or null",
        ),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of integer"),
        (
            {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]},
            "list of number, string",
        ),
        ({"enum": ["a", 1]}, '`"a"` or `1`'),
        ({"const": "x"}, '`"x"`'),
        ({}, "any"),
    ],
)
def test_types_in_words(schema: dict[str, object], words: str) -> None:
    import schema_pages

    assert schema_pages.kind(schema) == words


@pytest.mark.parametrize(
    ("docstring", "shown"),
    [
        ("Return `x`s of *args.", "Return ``x``\\ s of \\*args."),
        ("`a\n    b` and trailing_ |c|", "``a b`` and trailing\\_ \\|c\\|"),
        ("An empty name ``.", "An empty name \\`\\`."),
        ("Use it:\n\n    f(*x)\n    g()\n\nThen *.", "Use it:\n\n::\n\n    f(*x)\n    g()\n\nThen \\*."),
        ("One.\n\nRaises:\n    E: a *b.", "One.\n\nRaises:\n    E: a \\*b."),
    ],
)
def test_docstrings_are_plain_text(docstring: str, shown: str) -> None:
    import plain_docstrings

    assert plain_docstrings.as_plain_text(docstring) == shown


def test_unchanged_pages_are_left_alone(tmp_path: Path) -> None:
    import page_parts

    page_parts.write_folder(tmp_path, {"a.md": "a", "b.md": "b"})
    before = (tmp_path / "a.md").stat().st_mtime_ns
    page_parts.write_folder(tmp_path, {"a.md": "a", "c.md": "c"})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.md", "c.md"]
    assert (tmp_path / "a.md").stat().st_mtime_ns == before
