"""`eidolon memory search`."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import check_file, with_examples
from eidolon.benchmark.settings.fields import MAX_COUNT, MAX_SEED

MAX_SIZE, MAX_LAYERS = 2**14, 16
"""The largest width, head or store, and the most layers. More is a slip of the keyboard here."""


@with_examples(
    "eidolon memory search --out results/runs/search",
    "eidolon memory search --width 32 --depth 2 --trainings 12 --out results/runs/quick-search",
    "eidolon memory search --rules results/runs/quick-search/search.json --export found.pt2 --out results/runs/search",
)
def search(
    out: Annotated[Path, typer.Option(help="Folder for search.json, search.png and the trainings.")],
    width: Annotated[
        list[int] | None,
        typer.Option(
            min=2,
            max=MAX_SIZE,
            help="A width of the space, a multiple of the vector width. Repeatable; default: 32 and 64.",
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, max=MAX_LAYERS, help="The largest number of layers; default: 3.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=2, max=MAX_COUNT, help="Training steps of a candidate; default: 300.")
    ] = None,
    trainings: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_COUNT, help="Candidates that an evolution trains at most; default: 24."),
    ] = None,
    finalists: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_COUNT, help="Candidates that each other method trains; default: 6."),
    ] = None,
    sampled: Annotated[
        int | None,
        typer.Option(
            min=2, max=MAX_COUNT, help="Random candidates to correlate the scores over; default: 20."
        ),
    ] = None,
    supernet_steps: Annotated[
        int | None, typer.Option(min=1, max=MAX_COUNT, help="Training steps of the supernet; default: 1,000.")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_COUNT, help="Tokens read before the step whose latency counts; default: 8,192."
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Search only architectures whose memory of a sequence takes at most this. The reference may take "
            "more. Default: no limit.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED - 1, help="Of weights, data and search.")] = 0,
    rules: Annotated[
        Path | None,
        typer.Option(help="search.json of another search: start from its rules. Default: the own rules."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write the fastest found architecture here by torch.export, checked against the model."
        ),
    ] = None,
) -> None:
    """Search a layout of memories: recall against latency and bytes.

    A regression over measured operators estimates the costs. An evolution trains its candidates; a supernet, a score
    without training, and rules choose a few. The same command again continues.
    """
    from eidolon.benchmark.cli.common import make_console
    from eidolon.benchmark.study.search.run import export_found, make_recipe, run_search
    from eidolon.benchmark.study.search.table import show

    recipe = make_recipe(
        width,
        {
            "depth": depth,
            "steps": steps,
            "trainings": trainings,
            "finalists": finalists,
            "sampled": sampled,
            "supernet_steps": supernet_steps,
            "context": context,
            "max_bytes": max_bytes,
            "seed": seed,
        },
    )
    if export is not None:
        check_file("--export", export)
    detail = run_search(out, recipe, rules)
    show(detail, make_console())
    typer.echo(str(out / "search.json"))
    if export is not None:
        typer.echo(export_found(out, detail, export))
