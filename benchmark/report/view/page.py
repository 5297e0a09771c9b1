"""Writes the page of runs: one HTML file, or for many samples an HTML file and a folder with pages of data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eidolon.benchmark.report.view.collect import CollectedRun, batches
from eidolon.benchmark.report.view.document import escaped, render
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
    count = sum(len(run.shown) for run in runs)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        if count <= MOST_INSIDE:
            views, folder = [_inside(run, progress) for run in runs], None
        else:
            folder = page.parent / f"{page.stem}-data"
            folder.mkdir(exist_ok=True)
            views = [_beside(run, number, page, folder, progress) for number, run in enumerate(runs)]
        title = ", ".join(run.name for run in views)
        pages = any(run.pages for run in views)
        write_atomically(page, render(_view(views, pairs), title, pages=pages))
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


def _inside(run: CollectedRun, progress: Callable[[int], None]) -> RunView:
    details = []
    for detail in run.details(data_uri):
        details.append(detail)
        progress(1)
    return run.view.model_copy(update={"details": tuple(details)})


def _beside(
    run: CollectedRun, number: int, page: Path, folder: Path, progress: Callable[[int], None]
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
    for index, batch in enumerate(batches(run.details(place), PAGE_SIZE)):
        file = folder / f"run-{number}-page-{index}.js"
        # A string that the page parses as JSON: an object written out in a script would treat some names specially.
        records = escaped(escaped([detail.model_dump(mode="json") for detail in batch]))
        file.write_text(f"eidolonPage({number},{index},{records})\n", encoding="utf-8")
        names.append(file.relative_to(page.parent).as_posix())
        progress(len(batch))
    return run.view.model_copy(update={"pages": tuple(names)})
