"""Paired differences between arms: their intervals where no image differs."""

from collections.abc import Mapping

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.statistics.small_samples import unchanged

PER_WORDS = "per_100"
"""A difference of rates per 100 words. One image can change it by any amount."""
NO_WIDTH = "no interval: no image differs between the arms"


def with_width(numbers: Mapping[str, Estimate], *, images: int, largest: float) -> dict[str, Estimate]:
    """Return differences of shares with intervals of some width, and those of rates per words without an empty one.

    `largest` is what one image can change a difference of shares by.
    """
    found = {name: unchanged(number, images=images, largest=largest) for name, number in numbers.items()}
    rate = numbers[PER_WORDS]
    if rate.ci is not None and rate.ci[0] == rate.ci[1]:
        found[PER_WORDS] = rate.model_copy(update={"ci": None, "reason": NO_WIDTH})
    return found
