"""Write one reference page for each verb of the command line, from the program itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from page_parts import code, escape, paragraphs, table, write_folder

FOLDER = "reference/cli"
OTHER_OPTIONS = "Options"


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
    """Return the page of one verb: its help, its usage, and a table of options for each panel."""
    pieces = " ".join(command.collect_usage_pieces(context))
    lines = [f"# eidolon {name}", "", *paragraphs(command.help or "")]
    lines += ["```text", f"eidolon {name} {pieces}".rstrip(), "```", ""]
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            panel = getattr(parameter, "rich_help_panel", None)
            default = OTHER_OPTIONS if parameter.param_type_name == "option" else "Arguments"
            panels.setdefault(panel or default, []).append(record)
    for panel in sorted(panels, key=lambda title: (title != "Arguments", title == OTHER_OPTIONS)):
        lines += [f"## {panel}"]
        lines += table(
            ["option", "what it does"], ([code(names), escape(text)] for names, text in panels[panel])
        )
    if command.epilog:
        lines += ["## Examples", "", *_examples(command.epilog)]
    return "\n".join(lines).rstrip() + "\n"


def _examples(epilog: str) -> list[str]:
    """Return an epilog with its commands as shell blocks and its other lines as text."""
    lines = []
    for line in epilog.splitlines():
        shown = line.strip().removeprefix("$ ")
        if shown.startswith("eidolon "):
            lines += ["```sh", shown, "```", ""]
        elif shown:
            lines += [escape(shown), ""]
    return lines


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
        *["```{toctree}", ":hidden:", "", *found, "```", ""],
    ]
    return {**found, "index.md": "\n".join(lines)}


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", lambda app: write_folder(Path(app.srcdir) / FOLDER, pages()))
    return {"parallel_read_safe": True}
