"""Writes the page of runs: one HTML file, or for many samples an HTML file and a folder with pages of data."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from eidolon.benchmark.report.view.collect import CollectedRun, SampleTotals, batches
from eidolon.benchmark.report.view.document import escaped, render
from eidolon.benchmark.report.view.index import filled
from eidolon.benchmark.report.view.pictures import data_uri
from eidolon.benchmark.report.view.records import Pair, RunView, View
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.forgetting.subsets import EARLY, LATE

MOST_INSIDE = 500
"""The most samples of all runs that one file holds."""
PAGE_SIZE = 250
"""Samples in one file of data."""
PICTURES_IN_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Written:
    """The page that was written."""

    page: Path
    data: Path | None
    """The folder with the data of a page of many samples. The page needs it beside itself."""


def write(
    runs: Sequence[CollectedRun],
    page: Path,
    *,
    pairs: Sequence[Pair] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write the page of runs. `progress` is called with the number of samples that were written since the last call.

    Raises:
        UserError: the place cannot be written.
    """
    inside = sum(run.count for run in runs) <= MOST_INSIDE
    folder = None if inside else page.parent / f"{page.stem}-data"
    try:
        (folder or page.parent).mkdir(parents=True, exist_ok=True)
        with ExitStack() as files:
            totals = [files.enter_context(SampleTotals(run.policy)) for run in runs]
            views = [
                _inside(run, of_one, progress)
                if folder is None
                else _beside(run, of_one, number, page, folder, progress)
                for number, (run, of_one) in enumerate(zip(runs, totals, strict=True))
            ]
            title = ", ".join(run.name for run in views)
            text = render(_view(views, pairs), title, pages=any(run.pages for run in views))
            write_atomically(page, filled(text, [of_one.index for of_one in totals]))
    except OSError as error:
        raise UserError(f"--out {page}: cannot be written ({error.strerror})") from error
    return Written(page, folder)


def _view(runs: Sequence[RunView], pairs: Sequence[Pair]) -> View:
    return View(
        eidolon=package_version(),
        early=EARLY[1],
        late=LATE[0],
        page_size=PAGE_SIZE,
        runs=tuple(runs),
        pairs=tuple(pairs),
    )


def _inside(run: CollectedRun, totals: SampleTotals, progress: Callable[[int], None]) -> RunView:
    details = []
    for detail in run.details(data_uri, totals):
        details.append(detail)
        progress(1)
    return totals.view(run.head).model_copy(update={"details": tuple(details)})


def _beside(
    run: CollectedRun,
    totals: SampleTotals,
    number: int,
    page: Path,
    folder: Path,
    progress: Callable[[int], None],
) -> RunView:
    """Write the details of a run to files beside the page. They are scripts, as a page on disk may read no others."""
    pictures = 0

    def place(content: bytes) -> str:
        nonlocal pictures
        file = folder / f"pictures-{number}" / str(pictures // PICTURES_IN_FOLDER) / f"{pictures}.webp"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        pictures += 1
        return file.relative_to(page.parent).as_posix()

    names = []
    for index, batch in enumerate(batches(run.details(place, totals), PAGE_SIZE)):
        file = folder / f"run-{number}-page-{index}.js"
        # A string that the page parses as JSON: an object written out in a script would treat some names specially.
        records = escaped(escaped([detail.model_dump(mode="json") for detail in batch]))
        file.write_text(f"eidolonPage({number},{index},{records})\n", encoding="utf-8")
        names.append(file.relative_to(page.parent).as_posix())
        progress(len(batch))
    return totals.view(run.head).model_copy(update={"pages": tuple(names)})
