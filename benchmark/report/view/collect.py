"""Collects a run folder into the data of a page. The samples are read once, one at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from eidolon.benchmark.report.view import positions, summary
from eidolon.benchmark.report.view.categories import CategoryCounts
from eidolon.benchmark.report.view.index import IndexColumns
from eidolon.benchmark.report.view.pictures import NoPictures, PictureSource, encode, find_pictures
from eidolon.benchmark.report.view.probe import ProbeCounts
from eidolon.benchmark.report.view.records import Index, RunView, SampleDetail
from eidolon.benchmark.report.view.samples import ViewedSample, shown_samples, with_risks
from eidolon.benchmark.store.files import RESPONSES, SCORES
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.readings import main_policy
from eidolon.scorers.core.scores import Scores

RISK = "risk"
"""The family of the metric whose runs have risks."""
NO_MENTIONS = "No response of this run has mentions of objects."
Place = Callable[[bytes], str]
"""Stores a picture and returns what the page loads it by."""


class SampleTotals:
    """What the page says of all samples of a run together. Use it in a `with` block, as `IndexColumns`."""

    def __init__(self, policy: str) -> None:
        """`policy` is the main one of yes/no answers."""
        self.index = IndexColumns()
        self._counts, self._probe = CategoryCounts(), ProbeCounts(policy)
        self._count, self._judged = 0, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.index.__exit__()

    def add(self, one: ViewedSample) -> None:
        """Add the next sample."""
        self.index.add(one)
        self._counts.add(one)
        self._probe.add(self._count, one)
        self._judged |= one.judgement is not None and bool(one.judgement.mentions)
        self._count += 1

    def view(self, head: RunView) -> RunView:
        """Return the data of a run with what all its samples say. Its index stays empty: `self.index` has it."""
        rows = self._counts.rows() if self._judged else ()
        return head.model_copy(
            update={
                "categories": self.index.categories,
                "by_category": rows,
                "no_categories": None if rows else head.no_categories or NO_MENTIONS,
                "probe": self._probe.view(),
            }
        )


@dataclass(frozen=True, slots=True)
class CollectedRun:
    """A run without its samples, and what makes them: they and their pictures are read one at a time."""

    head: RunView
    """The data of the run without what its samples say."""
    count: int
    policy: str
    """The main policy of yes/no answers."""
    samples: Callable[[], Iterator[ViewedSample]]
    pictures: PictureSource

    def details(self, place: Place, totals: SampleTotals) -> Iterator[SampleDetail]:
        """Yield the details of the samples in order, and add each to `totals`.

        A picture of several samples is stored once.

        Raises:
            RunFileError: a file of the run cannot be read.
        """
        stored: dict[str, str] = {}
        for one in self.samples():
            totals.add(one)
            key = str(one.response.image_id)
            if one.sample is None:
                yield one.detail(stored.get(key), {})
                continue
            if key not in stored and (picture := self.pictures.picture(one.sample)) is not None:
                stored[key] = place(encode(picture))
            yield one.detail(stored.get(key), self.pictures.boxes(one.sample))


def collect(run: LoadedRun, *, images: Path | None, pictures: bool) -> CollectedRun:
    """Read a run without its samples. It may be unfinished: what is missing is named on the page.

    Args:
        run: The run.
        images: A folder with image files by image id, in place of the dataset's pictures.
        pictures: Whether to look for pictures.

    Raises:
        UserError: a file of the run cannot be read, or `images` is no folder.
    """
    scores: Scores | None = run.scores() if run.has(SCORES) else None
    at_risk = scores is not None and RISK in scores.metrics
    count = run.count_lines(RESPONSES)
    source, reason = find_pictures(run, images) if pictures and count else (NoPictures(), None)
    main, more = summary.numbers(scores)
    head = RunView(
        name=run.name,
        task=run.record.config.task,
        status=run.record.status,
        sentence=summary.sentence(run, scores),
        numbers=main,
        more_numbers=more,
        warnings=summary.warnings(run, scores, [reason] if reason else []),
        provenance=summary.provenance(run, scores),
        intervals=None if scores is None or scores.intervals is None else scores.intervals.method,
        categories=(),
        by_category=(),
        position=positions.position(run),
        charts=positions.charts(run),
        effects=positions.effects(run),
        calibration=None if scores is None else scores.calibration,
        index=Index(),
        no_samples=None if count else f"This run keeps no responses: task {run.record.config.task}.",
    )

    def samples() -> Iterator[ViewedSample]:
        return with_risks(shown_samples(run)) if at_risk else shown_samples(run)

    return CollectedRun(head, count, main_policy(run), samples, source)


def batches(details: Iterator[SampleDetail], size: int) -> Iterator[list[SampleDetail]]:
    """Yield the details in lists of a size; the last may be shorter."""
    while batch := list(islice(details, size)):
        yield batch
