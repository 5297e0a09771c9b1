"""Write one reference page for each verb of the command line, from the program itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from page_parts import code, escape, paragraphs, table, write_folder

FOLDER = "reference/cli"
OTHER_OPTIONS = "Options"
CONFIG = "config.md"


def verbs() -> Iterator[tuple[str, Any, Any]]:
    """Yield name, command and context of every verb; a verb with sub-verbs yields each of them, as `memory bench`."""
    import typer

    from eidolon.benchmark.cli import app

    program = typer.main.get_command(app)
    context = program.make_context("eidolon", ["list"], resilient_parsing=True)
    yield from _walk(program, context, "")


def _walk(group: Any, context: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = type(context)(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            yield from _walk(command, inner, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command, inner


def page(name: str, command: Any, context: Any) -> str:
    """Return the page of one verb: its help, its usage, a table of options for each panel, and its examples."""
    text, _, examples = (command.help or "").partition("Examples:")
    pieces = " ".join(command.collect_usage_pieces(context))
    lines = [f"# eidolon {name}", "", *paragraphs(text)]
    lines += ["```text", f"eidolon {name} {pieces}".rstrip(), "```", ""]
    panels: dict[str, list[list[str]]] = {}
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            panel = getattr(parameter, "rich_help_panel", None)
            default = OTHER_OPTIONS if parameter.param_type_name == "option" else "Arguments"
            panels.setdefault(panel or default, []).append(_row(*record))
    for panel in sorted(panels, key=lambda title: (title != "Arguments", title == OTHER_OPTIONS)):
        lines += [f"## {panel}", *table(["option", "what it does", "default"], panels[panel])]
    if examples := "\n".join([examples, command.epilog or ""]).strip():
        lines += ["## Examples", "", *_examples(examples)]
    return "\n".join(lines).rstrip() + "\n"


def _row(names: str, text: str) -> list[str]:
    """Return the cells of an option: its names, its help, and the default that the help ends with."""
    what, _, extra = text.rpartition("[") if text.endswith("]") else (text, "", "")
    default = extra.removesuffix("]").removeprefix("default: ")
    if default.startswith("(") and default.endswith(")"):
        default = default[1:-1]
    return [code(names), escape(what), escape(default)]


def _examples(text: str) -> list[str]:
    """Return examples with their commands as shell blocks and their other lines as text."""
    lines = []
    for line in text.splitlines():
        shown = line.strip().removeprefix("$ ")
        if shown.startswith("eidolon "):
            lines += ["```sh", shown, "```", ""]
        elif shown:
            lines += [escape(shown), ""]
    return lines


def config_page() -> str:
    """Return the page of `--config` files: every field of the settings, with its flag and default."""
    from eidolon.benchmark.settings.fields import docstrings, flag_name
    from eidolon.benchmark.settings.run import ModelSpec, RunSettings

    schema = RunSettings.model_json_schema()
    rows = [
        [
            code(field),
            code(flag_name(RunSettings, field)),
            code(_default(about)),
            escape(docstrings(RunSettings)[field]),
        ]
        for field, about in schema["properties"].items()
    ]
    return "\n".join(
        [
            "# Configuration files",
            "",
            "`eidolon run --config FILE` reads these fields from a YAML file; a flag on the command line wins over the "
            "file. `run.json` stores the same fields.",
            "",
            *table(["field", "flag", "default", "what it is"], rows),
            "## Fields of a model",
            "",
            "An entry of `models` is a name, or an object with these fields. So models of one run may have options of "
            "their own.",
            "",
            *table(
                ["field", "what it is"],
                ([code(name), escape(about)] for name, about in docstrings(ModelSpec).items()),
            ),
        ]
    )


def _default(about: dict[str, Any]) -> str:
    return json.dumps(about.get("default"))


def pages() -> dict[str, str]:
    """Return the page of every verb and an index of them, by file name."""
    found, rows = {}, []
    for name, command, context in verbs():
        file = f"{name.replace(' ', '-')}.md"
        found[file] = page(name, command, context)
        rows.append([f"[`eidolon {name}`]({file})", escape(command.get_short_help_str(limit=200))])
    lines = [
        "# Command line",
        "",
        "Each verb with its options and defaults, as `eidolon VERB --help` prints them.",
        "",
        *table(["verb", "what it does"], rows),
        f"[Configuration files]({CONFIG}) lists the fields of `--config`.",
        "",
        *["```{toctree}", ":hidden:", "", *found, CONFIG, "```", ""],
    ]
    return {**found, CONFIG: config_page(), "index.md": "\n".join(lines)}


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", lambda app: write_folder(Path(app.srcdir) / FOLDER, pages()))
    return {"parallel_read_safe": True}
