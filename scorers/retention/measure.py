"""Retention: how far from chance the answers are after n tokens, as a share of that at n = 0.

    R = 2·accuracy - 1 (or the mean margin, in nats)      retention = R(n) / R(0)

Both are computed from the same questions about the same images. Yes is the right answer to half of them. So knowledge
that does not come from the image adds nothing to R, if it answers alike about objects that are there and objects that
are not.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, Share, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.retention.records import CONDITIONS, AnsweredContext, Condition, Kind, YesNoAnswer
from eidolon.scorers.statistics.bootstrap import BootstrapResult, bootstrap

USABLE = 0.2
"""R(0) must be reliably above this value. Below it there is too little to forget."""
LEAST_IMAGES = 8
"""Smallest number of images with a retention. With fewer, the intervals would be too narrow."""

Series = Literal["unnamed", "named", "text"]
"""Objects that the preceding text does not name, objects that it names, and the fact stated in the prompt."""
SERIES: dict[Series, tuple[Kind, bool]] = {
    "unnamed": ("object", False),
    "named": ("object", True),
    "text": ("text", False),
}
Verdict = Literal[
    "no fall seen", "forgot the image", "cannot answer at this length", "fell, cause open", "not measured"
]

TEXT, BEFORE = "the told fact", "the picture seen after the text"
"""Names of the controls in messages."""
COLUMNS = ("asked", "correct", "correct_0", "margin", "margin_0", "yes")


class RetentionAtLength(Record):
    """The results of one series after n tokens."""

    model_config = ConfigDict(allow_inf_nan=False)

    condition: Condition
    series: Series
    n: int
    images: int
    questions: int
    accuracy: Estimate
    accuracy_at_0: Estimate
    margin: Estimate
    """Mean logarithm of the probability ratio of the true answer to the false one, in nats."""
    margin_at_0: Estimate
    yes_rate: Estimate
    retention: Estimate
    """Computed from accuracy above chance. It is above 1 if the answers became better."""
    retention_margin: Estimate
    reason: str | None = None
    """Why there is no retention."""


class RetentionFinding(Record):
    """The result of one condition at one length, compared with the controls."""

    model_config = ConfigDict(allow_inf_nan=False)

    condition: Condition
    n: int
    verdict: Verdict
    image_minus_text: Estimate
    """Retention of the unnamed objects minus that of the stated fact at the same distance."""
    image_minus_before: Estimate
    """Retention of the unnamed objects minus that of objects in questions right after the image, with as many tokens
    before it."""
    reason: str


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """One question about an image, answered after n tokens and at n = 0."""

    image_id: ImageId
    late: YesNoAnswer
    first: YesNoAnswer


@dataclass(frozen=True, slots=True)
class RetentionSummary:
    """All results of the answers."""

    points: tuple[RetentionAtLength, ...]
    findings: tuple[RetentionFinding, ...]


def measure(
    held: Sequence[AnsweredContext], *, seed: int = 0, resamples: int = RESAMPLES
) -> RetentionSummary:
    """Return retention by condition, series and length. Intervals are percentile bootstraps over images.

    Raises:
        ValueError: a question was not asked at n = 0 of its image.
    """
    paired = pair(held)
    points = tuple(
        _point(condition, series, n, pairs, seed=seed, resamples=resamples)
        for (condition, series, n), pairs in sorted(paired.items(), key=lambda item: _place(item[0]))
    )
    findings = tuple(
        _finding(point, points, paired, seed=seed, resamples=resamples)
        for point in points
        if point.series == "unnamed" and point.condition != "before"
    )
    return RetentionSummary(points, findings)


Cell = tuple[Condition, Series, int]


def pair(held: Iterable[AnsweredContext]) -> dict[Cell, list[AnswerPair]]:
    """Return the questions asked after a text, each with its answer at n = 0, by condition, series and n.

    An image without answers at n = 0 because of an error is left out.
    """
    held = list(held)
    lost = {context.image_id for context in held if context.condition is None and context.error}
    first = {
        (context.image_id, answer.kind, answer.about): answer
        for context in held
        if context.condition is None
        for answer in context.answers
    }
    found: dict[Cell, list[AnswerPair]] = defaultdict(list)
    for context in held:
        if context.condition is None or context.image_id in lost:
            continue
        for answer in context.answers:
            key = (context.image_id, answer.kind, answer.about)
            if key not in first:
                raise ValueError(f"image {key[0]!r}: there is no question about {answer.about!r} at n = 0")
            found[context.condition, series_of(answer), context.n].append(
                AnswerPair(context.image_id, answer, first[key])
            )
    return dict(found)


def series_of(answer: YesNoAnswer) -> Series:
    """Return the series that an answer belongs to."""
    return next(name for name, key in SERIES.items() if key == (answer.kind, answer.named))


def statistics(pairs: Sequence[AnswerPair]) -> FloatArray:
    """Return the counts named by `COLUMNS`, shape (pairs, 6)."""
    rows = [
        (
            1.0,
            p.late.correct,
            p.first.correct,
            p.late.margin,
            p.first.margin,
            float(p.late.log_yes > p.late.log_no),
        )
        for p in pairs
    ]
    return np.array(rows, dtype=float).reshape(-1, len(COLUMNS))


def compute(totals: FloatArray) -> dict[str, FloatArray]:
    """Map totals (..., 6) to accuracy, margin, R and retention, each at n and at 0, shape (...)."""
    asked, correct, correct_0, margin, margin_0, yes = (totals[..., i] for i in range(len(COLUMNS)))
    above, above_0 = 2 * ratio(correct, asked) - 1, 2 * ratio(correct_0, asked) - 1
    return {
        "accuracy": ratio(correct, asked),
        "accuracy_at_0": ratio(correct_0, asked),
        "above_at_0": above_0,
        "margin": ratio(margin, asked),
        "margin_at_0": ratio(margin_0, asked),
        "yes_rate": ratio(yes, asked),
        "retention": _share(above, above_0),
        "retention_margin": _share(ratio(margin, asked), ratio(margin_0, asked)),
    }


def shares(totals: FloatArray) -> dict[str, Share]:
    """Map totals (..., 6) to the events and trials of the shares, each (...)."""
    asked, correct, correct_0, _, _, yes = (totals[..., i] for i in range(len(COLUMNS)))
    return {
        "accuracy": Share(correct, asked),
        "accuracy_at_0": Share(correct_0, asked),
        "yes_rate": Share(yes, asked),
    }


def _share(late: FloatArray, first: FloatArray) -> FloatArray:
    # In a resample that begins at or below chance there is nothing to retain.
    return ratio(late, np.where(first > 0, first, 0))


def _point(
    condition: Condition, series: Series, n: int, pairs: Sequence[AnswerPair], *, seed: int, resamples: int
) -> RetentionAtLength:
    images = [p.image_id for p in pairs]
    found = bootstrap(statistics(pairs), images, compute, shares=shares, seed=seed, resamples=resamples)
    reason = unusable(found["above_at_0"], len(set(images)))
    nothing = Estimate.undefined()
    return RetentionAtLength(
        condition=condition,
        series=series,
        n=n,
        images=len(set(images)),
        questions=len(pairs),
        **{
            name: found[name].estimate()
            for name in ("accuracy", "accuracy_at_0", "margin", "margin_at_0", "yes_rate")
        },
        retention=nothing if reason else found["retention"].estimate(),
        retention_margin=nothing if reason else found["retention_margin"].estimate(),
        reason=reason,
    )


def unusable(above_at_0: BootstrapResult, images: int) -> str | None:
    """Return why the answers at n = 0 do not allow a retention, None if they do."""
    if images < LEAST_IMAGES:
        return f"asked about {images} images, fewer than {LEAST_IMAGES}"
    low = float(above_at_0.low)
    surely = float(above_at_0.value) if np.isnan(low) else low
    if surely <= USABLE:
        return (
            f"2·accuracy - 1 at n = 0 is {float(above_at_0.value):.2f}, not surely above {USABLE}: "
            "there is too little to forget"
        )
    return None


def _finding(
    image: RetentionAtLength,
    points: Sequence[RetentionAtLength],
    paired: Mapping[Cell, Sequence[AnswerPair]],
    *,
    seed: int,
    resamples: int,
) -> RetentionFinding:
    here: Cell = (image.condition, "unnamed", image.n)
    cells: dict[str, Cell] = {
        TEXT: (image.condition, "text", image.n),
        BEFORE: ("before", "unnamed", image.n),
    }
    by_cell = {(p.condition, p.series, p.n): p for p in points}
    usable = {
        name: by_cell[cell]
        for name, cell in cells.items()
        if cell in by_cell and by_cell[cell].reason is None and by_cell[cell].retention.ci is not None
    }
    measured = image.reason is None and image.retention.ci is not None
    differences = {
        name: _difference(paired[here], paired[cells[name]], seed=seed, resamples=resamples)
        for name in usable
        if measured
    }
    verdict, reason = _judge(image, usable, differences)
    return RetentionFinding(
        condition=image.condition,
        n=image.n,
        verdict=verdict,
        image_minus_text=differences.get(TEXT, Estimate.undefined()),
        image_minus_before=differences.get(BEFORE, Estimate.undefined()),
        reason=reason,
    )


def _judge(
    image: RetentionAtLength, controls: Mapping[str, RetentionAtLength], differences: Mapping[str, Estimate]
) -> tuple[Verdict, str]:
    if image.reason is not None or image.retention.ci is None:
        return "not measured", image.reason or "retention has no interval"
    if image.retention.ci[1] >= 1:
        return "no fall seen", "the interval of retention reaches 1"
    if not controls:
        return "fell, cause open", "no control is usable: the model answers none of them well enough at n = 0"
    below = [name for name, found in differences.items() if found.ci is not None and found.ci[1] < 0]
    if len(below) == len(controls):
        return "forgot the image", f"less is kept than of {' and of '.join(below)}"
    fell = [
        name
        for name, control in controls.items()
        if name not in below and control.retention.ci is not None and control.retention.ci[1] < 1
    ]
    if fell:
        return "cannot answer at this length", f"{' and '.join(fell)} fell too, not surely less"
    return "fell, cause open", "neither a control nor the difference from it is surely below"


def _difference(
    image: Sequence[AnswerPair], text: Sequence[AnswerPair], *, seed: int, resamples: int
) -> Estimate:
    """Return the retention of `image` minus that of `text`, resampled together."""
    width = len(COLUMNS)
    rows = np.zeros((len(image) + len(text), 2 * width))
    rows[: len(image), :width], rows[len(image) :, width:] = statistics(image), statistics(text)

    def both(totals: FloatArray) -> dict[str, FloatArray]:
        one, other = (compute(totals[..., part])["retention"] for part in (slice(width), slice(width, None)))
        return {"difference": one - other}

    images = [p.image_id for p in (*image, *text)]
    found = bootstrap(rows, images, both, seed=seed, resamples=resamples)
    return found["difference"].estimate()


def _place(cell: Cell) -> tuple[int, int, int]:
    condition, series, n = cell
    return CONDITIONS.index(condition), [*SERIES].index(series), n
