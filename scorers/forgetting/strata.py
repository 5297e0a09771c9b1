"""Categories in thirds by how common and how large they are, and the odds ratio within each third.

Annotators rarely miss what is large and common. A rise with position among those categories is not an effect of
incomplete annotation.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

import numpy as np
from pydantic import AliasChoices, ConfigDict, Field

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Mention, Record
from eidolon.scorers.forgetting.events import Events, in_order
from eidolon.scorers.forgetting.fits import Fit, fit
from eidolon.scorers.forgetting.late_early import covariates

Split: TypeAlias = Literal["all", "prevalence", "size"]
THIRDS = 3
NAMES: dict[Split, tuple[str, ...]] = {
    "all": ("all",),
    "prevalence": ("rare", "medium", "common"),
    "size": ("small", "medium", "large"),
}


class CategoryStratum(Record):
    """A third of the categories, with the odds ratio among their first mentions alone."""

    model_config = ConfigDict(allow_inf_nan=False)

    split: Split
    name: str
    lowest: float
    """Smallest value among the categories. For `prevalence` it is the share of images that hold the category, for
    `size` the median share of the image that its largest box covers."""
    highest: float
    """Largest value among the categories."""
    categories: int
    late_early: Fit = Field(validation_alias=AliasChoices("late_early", "adjusted"))


@dataclass(frozen=True, slots=True)
class Strata:
    """Categories in thirds of the first mentions. A category without a value is in none."""

    split: Split
    value: Mapping[str, float]
    """The value that the categories are ordered by."""
    third: Mapping[str, int]
    """The third of each category, from 0."""


def make_strata(samples: Sequence[JudgedSample]) -> list[Strata]:
    """Return the strata by prevalence and, if areas are known, by size."""
    images = {sample.response.image_id: sample for sample in samples}.values()
    named = Counter(m.category for sample in samples for m in first_mentions(sample))
    held = Counter(name for sample in images for name in sample.objects)
    sizes: dict[str, list[float]] = {}
    for sample in images:
        for name, area in sample.areas.items():
            sizes.setdefault(name, []).append(area)
    prevalence = {name: held[name] / len(images) for name in named}
    size = {name: median(sizes[name]) for name in named if name in sizes}
    found = [Strata("prevalence", prevalence, _thirds(prevalence, named))]
    return [*found, Strata("size", size, _thirds(size, named))] if size else found


def _thirds(value: Mapping[str, float], named: Mapping[str, int]) -> dict[str, int]:
    """Return categories in thirds by their value, each with about as many mentions. Names break ties."""
    total, before = sum(named[name] for name in value), 0
    thirds = {}
    for name in sorted(value, key=lambda name: (value[name], name)):
        thirds[name] = min(THIRDS - 1, int(THIRDS * (before + named[name] / 2) / total))
        before += named[name]
    return thirds


def fit_strata(
    samples: Sequence[JudgedSample], events: Events, strata: Sequence[Strata], reason: str | None
) -> tuple[CategoryStratum, ...]:
    """Return each stratum with its fit. With a `reason`, all categories together cannot be fitted, and nothing is."""
    first = events.mentions.select(events.mentions.first)
    named = [m.category for sample in samples for m in first_mentions(sample)]
    columns = covariates(events.responses, first)
    found = []
    for split in strata:
        of = np.array([split.third.get(name, -1) for name in named], dtype=int)
        for number, label in enumerate(NAMES[split.split]):
            values = [split.value[name] for name, third in split.third.items() if third == number]
            rows = of == number
            if values:
                name, chosen = (
                    f"{split.split}: {label}",
                    {key: column[rows] for key, column in columns.items()},
                )
                late_early = (
                    fit(name, events, first.select(rows), chosen)
                    if reason is None
                    else Fit(label=name, reason=reason)
                )
                found.append(
                    CategoryStratum(
                        split=split.split,
                        name=label,
                        lowest=min(values),
                        highest=max(values),
                        categories=len(values),
                        late_early=late_early,
                    )
                )
    return tuple(found)


def first_mentions(sample: JudgedSample) -> list[Mention]:
    """Return the first mention of each category in reading order: the sample's rows among first mentions."""
    first: dict[str, Mention] = {}
    for mention in in_order(sample):
        first.setdefault(mention.category, mention)
    return list(first.values())
