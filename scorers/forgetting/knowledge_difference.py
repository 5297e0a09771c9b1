"""Position given knowledge of two runs on the same images, compared in pairs.

Each run has a fit of its own. As in `late_early_difference`, the variance of the difference is the sum over images of
the squared difference of their influences. What each run does not know of its judge's false alarms is added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.forgetting.knowledge import fit_held
from eidolon.scorers.forgetting.knowledge_choices import POSITION
from eidolon.scorers.forgetting.knowledge_records import ProbedImage
from eidolon.scorers.forgetting.late_early_difference import compare_fits
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms
from eidolon.scorers.statistics.comparison import Compared

JUDGES = (-1, -2)
"""Numbers of the judges' uncertainty among those of the images. Each is of one run alone."""


@dataclass(frozen=True, slots=True)
class KnownRun:
    """What a run knew before it wrote, and what it named."""

    probes: Sequence[ProbedImage]
    first: Mapping[str, JudgedSample]
    """The first judged response to each sample, by sample id."""
    alarms: FalseAlarms | None = None


@dataclass(frozen=True, slots=True)
class PositionByImage:
    """An odds ratio of position, and what each image adds to its logarithm."""

    log_odds_ratio: float
    odds_ratio: float
    influence: Mapping[int, float]


def compare_positions(a: KnownRun, b: KnownRun, *, seed: int = 0, resamples: int = RESAMPLES) -> Compared:
    """Return the comparison of two runs' position given knowledge on the same samples.

    A run whose odds ratio cannot be estimated has null, and `reason` says why.
    """
    numbers: dict[ImageId, int] = {}
    first, second = (
        position_by_image(run, numbers, judge, seed=seed) for run, judge in zip((a, b), JUDGES, strict=True)
    )
    if isinstance(first, str) or isinstance(second, str):
        reasons = [
            f"undefined in {name}: {fit}"
            for name, fit in (("A", first), ("B", second))
            if isinstance(fit, str)
        ]
        return Compared(
            a=None if isinstance(first, str) else first.odds_ratio,
            b=None if isinstance(second, str) else second.odds_ratio,
            difference=None,
            ci=None,
            p=None,
            p_holm=None,
            mde=None,
            higher_is_better=False,
            outcome=None,
            reason="; ".join(reasons),
        )
    return compare_fits(first, second, seed=seed, resamples=resamples)


def position_by_image(
    run: KnownRun, numbers: dict[ImageId, int], judge: int, *, seed: int
) -> PositionByImage | str:
    """Return the fit of a run, or why there is none. `numbers` gets a number for each new image."""
    fit, images = fit_held(run.probes, run.first, seed=seed, alarms=run.alarms)
    if isinstance(fit, str):
        return fit
    at = fit.names.index(POSITION)
    influence = {judge: float(fit.misread_shift[at])}
    for image, value in zip(images, fit.influence[:, at].tolist(), strict=True):
        number = numbers.setdefault(image, len(numbers))
        influence[number] = influence.get(number, 0.0) + value
    return PositionByImage(float(fit.estimates[at]), exp(float(fit.estimates[at])), influence)
