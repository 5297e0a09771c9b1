"""`eidolon plot`: figures for a paper, of one run or of several."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, print_written, with_examples
from eidolon.benchmark.cli.options import split_names

FOLDER = "plots"


@with_examples(
    "eidolon plot results/runs/demo/scenes-base --out figures",
    "eidolon plot results/runs/a results/runs/b --out figures --width column --format pdf",
)
def plot(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders with one run each.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the figures. Default: plots in the run folder."),
    ] = None,
    width: Annotated[str, typer.Option(help="Width of a paper's column (85 mm) or page (178 mm).")] = "page",
    figure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="Figures, separated by commas: numbers, position, categories, answers, risk, retention, "
            "dependence, orders; for several runs metrics, knowledge-held, for two differences. "
            "Default: all that suit the runs.",
        ),
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT,...", help="pdf, svg, png, separated by commas. Default: all."
        ),
    ] = None,
) -> None:
    """Draw figures of runs as PDF, SVG and PNG. The same runs give the same bytes.

    A figure that cannot be drawn is left out, with the reason on stderr.
    """
    from eidolon.benchmark.drawing.style import FORMATS
    from eidolon.benchmark.report.plots.write import PlotOptions, write
    from eidolon.benchmark.store.loaded import load_run
    from eidolon.benchmark.terminal.safe_text import one_line
    from eidolon.scorers.core.errors import UserError

    loaded = [load_run(path) for path in runs]
    folders = [run.path for run in loaded]
    if len({path.resolve() for path in folders}) < len(folders):
        raise UserError(f"{' '.join(map(str, runs))}: a run folder is given twice")
    place = out or (folders[0] if len(folders) == 1 else folders[0].parent) / FOLDER
    formats = split_names(form) or FORMATS
    found = write(loaded, place, PlotOptions(width, split_names(figure), formats))  # type: ignore[arg-type]
    for name, reason in found.left_out.items():
        typer.echo(one_line(f"not drawn: {name}: {reason}"), err=True)
    print_written(make_console(), *found.written)
