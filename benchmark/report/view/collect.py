"""Collects a run folder into the data of a page."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from eidolon.benchmark.report.view import positions, summary
from eidolon.benchmark.report.view.categories import by_category
from eidolon.benchmark.report.view.pictures import NoPictures, PictureSource, encode, find_pictures
from eidolon.benchmark.report.view.probe import probe_view
from eidolon.benchmark.report.view.records import RunView, SampleDetail
from eidolon.benchmark.report.view.samples import (
    ViewedSample,
    category_names,
    make_index,
    shown_samples,
    with_risks,
)
from eidolon.benchmark.store.files import SCORES
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.readings import main_policy
from eidolon.scorers.core.scores import Scores

RISK = "risk"
"""The family of the metric whose runs have risks."""
Place = Callable[[bytes], str]
"""Stores a picture and returns what the page loads it by."""


@dataclass(frozen=True, slots=True)
class CollectedRun:
    """A run without the details of its samples, and what makes them: pictures are read one at a time."""

    view: RunView
    shown: Sequence[ViewedSample]
    pictures: PictureSource

    def details(self, place: Place) -> Iterator[SampleDetail]:
        """Yield the details of the samples in order. A picture of several samples is stored once."""
        stored: dict[str, str | None] = {}
        for one in self.shown:
            key = str(one.response.image_id)
            if one.sample is not None and key not in stored:
                picture = self.pictures.picture(one.sample)
                stored[key] = None if picture is None else place(encode(picture))
            boxes = {} if one.sample is None else self.pictures.boxes(one.sample)
            yield one.detail(stored.get(key), boxes)


def collect(run: LoadedRun, *, images: Path | None, pictures: bool) -> CollectedRun:
    """Read a run. It may be unfinished: what is missing is named on the page.

    Args:
        run: The run.
        images: A folder with image files by image id, in place of the dataset's pictures.
        pictures: Whether to look for pictures.

    Raises:
        UserError: a file of the run cannot be read, or `images` is no folder.
    """
    scores: Scores | None = run.scores() if run.has(SCORES) else None
    shown = shown_samples(run)
    if scores is not None and RISK in scores.metrics:
        shown = with_risks(shown)
    source, reason = find_pictures(run, images) if pictures and shown else (NoPictures(), None)
    categories = category_names(shown)
    main, more = summary.numbers(scores)
    probe = probe_view(shown, main_policy(run)) if any(one.answer for one in shown) else None
    judged = any(one.judgement is not None and one.judgement.mentions for one in shown)
    rows = by_category(shown) if judged else ()
    view = RunView(
        name=run.name,
        task=run.record.config.task,
        status=run.record.status,
        sentence=summary.sentence(run, scores),
        numbers=main,
        more_numbers=more,
        warnings=summary.warnings(run, scores, [reason] if reason else []),
        provenance=summary.provenance(run, scores),
        intervals=None if scores is None or scores.intervals is None else scores.intervals.method,
        categories=categories,
        by_category=rows,
        no_categories=None if rows else "No response of this run has mentions of objects.",
        position=positions.position(run),
        charts=positions.charts(run),
        effects=positions.effects(run),
        probe=probe,
        calibration=None if scores is None else scores.calibration,
        index=make_index(shown, categories),
        no_samples=None if shown else f"This run keeps no responses: task {run.record.config.task}.",
    )
    return CollectedRun(view, shown, source)


def batches(details: Iterator[SampleDetail], size: int) -> Iterator[list[SampleDetail]]:
    """Yield the details in lists of a size; the last may be shorter."""
    while batch := list(islice(details, size)):
        yield batch
