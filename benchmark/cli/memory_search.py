"""`eidolon memory search`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from eidolon.benchmark.cli.common import check_file, with_examples
from eidolon.benchmark.cli.options import flags_of, with_settings
from eidolon.benchmark.settings.search import SearchSettings

MAX_SIZE = 2**14
"""The largest width, head or store. More is a slip of the keyboard here."""


@with_examples(
    "eidolon memory search --out results/runs/search",
    "eidolon memory search --width 32 --depth 2 --trainings 12 --out results/runs/quick-search",
    "eidolon memory search --rules results/runs/quick-search/search.json --export found.pt2 --out results/runs/search",
)
@with_settings(SearchSettings)
def search(
    *,
    out: Annotated[
        Path,
        typer.Option(help="Folder for search.json, search.png and the trainings.", rich_help_panel="Output"),
    ],
    width: Annotated[
        list[int] | None,
        typer.Option(
            min=2,
            max=MAX_SIZE,
            help="A width of the space, a multiple of the vector width. Repeatable; default: 32 and 64.",
            rich_help_panel="Model",
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="search.json of another search: start from its rules. Default: the own rules.",
            rich_help_panel="Task",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write the fastest found architecture here by torch.export, checked against the model.",
            rich_help_panel="Output",
        ),
    ] = None,
    **options: Any,
) -> None:
    """Search a layout of memories: recall against latency and bytes.

    A regression over measured operators estimates the costs. An evolution trains its candidates; a supernet, a score
    without training, and rules choose a few. The same command again continues.
    """
    from eidolon.benchmark.cli.common import make_console
    from eidolon.benchmark.settings.load import load_settings
    from eidolon.benchmark.study.search.run import export_found, make_recipe, run_search
    from eidolon.benchmark.study.search.table import show

    settings = load_settings(SearchSettings, None, flags_of(SearchSettings, options)).settings
    if export is not None:
        check_file("--export", export)
    detail = run_search(out, make_recipe(width, settings.model_dump()), rules)
    show(detail, make_console())
    typer.echo(str(out / "search.json"))
    if export is not None:
        typer.echo(export_found(out, detail, export))
