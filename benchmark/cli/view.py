"""`eidolon view`: look at the samples and the numbers of runs in a browser."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eidolon.benchmark.cli.common import make_console, print_written, with_examples
from eidolon.benchmark.cli.options import Allow, MinShared, split_names
from eidolon.benchmark.settings.fields import MIN_SHARED

if TYPE_CHECKING:
    from eidolon.benchmark.report.view.page import Written

FOLDER, PAGE, STUDY = "view", "index.html", "memory.json"


@with_examples(
    "eidolon view results/runs/demo/scenes-base",
    "eidolon view results/memory",
    "eidolon view results/runs/mine --images val2014 --out page.html --no-open",
)
def view(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, or folders with one run each. Or one folder with the memory.json of a study.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The HTML file to write. Default: view/index.html in the run folder; memory.html beside memory.json."
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of image files by image id, for responses that came from a file."),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Put the pictures on the page.")
    ] = True,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Serve the page to this machine until Ctrl-C, for a browser that reads no local files.",
        ),
    ] = False,
    allow: Allow = None,
    min_shared: MinShared = MIN_SHARED,
) -> None:
    """Write a page with every sample, the numbers and their plots, and open it. It needs no server and no network.

    Up to 500 samples are inside the HTML file. A larger page has a folder with its data beside it. Where a run folder
    says whose its images are, so do two files beside the page.
    """
    from eidolon.benchmark.data.coco_licences import CSV, read_csv, write_attribution
    from eidolon.benchmark.report.view.collect import collect
    from eidolon.benchmark.report.view.page import write
    from eidolon.benchmark.report.view.pairs import compare_runs
    from eidolon.benchmark.store.loaded import load_run
    from eidolon.benchmark.terminal.progress import meter
    from eidolon.benchmark.verify.compare import CompareOptions
    from eidolon.scorers.core.errors import UserError

    if len(runs) == 1 and (allow or min_shared != MIN_SHARED):
        raise UserError(
            f"{runs[0]}: one run is compared with none; --allow and --min-shared need another run"
        )
    options = CompareOptions(allow=split_names(allow), min_shared=min_shared)
    options.check()
    if len(runs) == 1 and (study := _study_file(runs[0])) is not None:
        _open(_write_study(study, out), open_page=open_page, serve=serve)
        return
    loaded = [load_run(path) for path in runs]
    folders = [run.path for run in loaded]
    if len({path.resolve() for path in folders}) < len(folders):
        raise UserError(f"{' '.join(map(str, runs))}: a run folder is given twice")
    credits = [row for run in loaded for row in read_csv(run.path / CSV)] if pictures else []
    found = [collect(run, images=images, pictures=pictures) for run in loaded]
    place = _html(out, (folders[0] if len(folders) == 1 else folders[0].parent) / FOLDER / PAGE)
    pairs = compare_runs(folders, options)
    total = sum(run.count for run in found)
    with meter(f"{place.name}, pictures", total, 0) as progress:
        written = write(found, place, pairs=pairs, progress=lambda count: progress.advance(count, 0, 0))
    beside = write_attribution([*dict.fromkeys(credits)], written.page)
    there = (path for path in (written.page, written.data, *beside) if path is not None)
    print_written(make_console(), *there)
    _open(written, open_page=open_page, serve=serve)


def _study_file(path: Path) -> Path | None:
    """Return the file of the memory study in a folder or at a path, None if there is none."""
    file = path if path.name == STUDY else path / STUDY
    return file if file.is_file() else None


def _write_study(file: Path, out: Path | None) -> "Written":
    """Write the page of a memory study. Its records need PyTorch, and the pages of runs do not."""
    from eidolon.benchmark.report.view.page import Written
    from eidolon.benchmark.study.memory.page import PAGE as STUDY_PAGE
    from eidolon.benchmark.study.memory.page import read_study, write_page

    place = _html(out, file.parent / STUDY_PAGE)
    write_page(read_study(file), place)
    print_written(make_console(), place)
    return Written(place, None)


def _html(out: Path | None, usual: Path) -> Path:
    """Return the file to write: `out`, or a file in it if it is a folder."""
    place = out or usual
    return place if place.suffix in (".html", ".htm") else place / PAGE


def _open(written: "Written", *, open_page: bool, serve: bool) -> None:
    if serve:
        from eidolon.benchmark.report.view.serve import serve_page

        serve_page(written, lambda address: _show(address, open_page))
    else:
        _show(written.page.resolve().as_uri(), open_page)


def _show(address: str, open_page: bool) -> None:
    """Open an address in the browser of a person; a script has none."""
    if address.startswith("http:"):
        typer.echo(f"served at {address} until Ctrl-C")
    if open_page and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(address)
