"""What reference captions tell about missing boxes: two sources as in capture-recapture.

Captions come from people who did not see the boxes. Everything is scored again by the boxes alone: the difference is
an effect of annotation. What each source misses of the other's also tells how much both miss, as in the counting of
animals by two visits (Lincoln-Petersen; Chapman 1951). `both`, `boxes` and `captions` count the first mentions in a
stratum that are true by both sources, or by one alone. If the sources miss independently, boxes·captions/both more are
true and in neither. They do not: both miss what is small, so this is a lower estimate. With an odds ratio w between
the sources it is w times as many.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from pydantic import AliasChoices, ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, JudgedSample, Share, ratio
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.events import Events, IntArray, read_events
from eidolon.scorers.forgetting.fits import Fit, fit
from eidolon.scorers.forgetting.late_early import covariates
from eidolon.scorers.forgetting.strata import NAMES, Split, Strata, first_mentions
from eidolon.scorers.forgetting.subsets import EARLY, LATE
from eidolon.scorers.forgetting.tipping import Tipping
from eidolon.scorers.statistics.bootstrap import bootstrap

Part: TypeAlias = Literal["early", "middle", "late"]
PARTS: dict[Part, tuple[float, float]] = {"early": EARLY, "middle": (EARLY[1], LATE[0]), "late": LATE}


class Rescored(Record):
    """Hallucination rates of first mentions by position under one ground truth, or the difference between two."""

    early: Estimate
    late: Estimate
    change: Estimate
    """Late minus early."""


class SourceCounts(Record):
    """First mentions in a part of the responses and a stratum of categories, by the source that has the object."""

    model_config = ConfigDict(allow_inf_nan=False)

    split: Split
    name: str
    part: Part
    both: int
    """With a box and in a caption."""
    boxes: int
    """With a box alone."""
    captions: int
    """In a caption alone."""
    neither: int
    confirmed: Estimate
    """Share of the mentions without a box that captions name: hallucinations by the boxes that are true."""
    recall: Estimate
    """Share of the mentions with a box that captions name."""


class Unannotated(Record):
    """The share of the hallucinations by boxes and captions that are true objects, if the two miss independently."""

    split: Split
    """The strata that are summed over. With strata, objects need to be equally easy to miss only within each."""
    part: Part
    hallucinated: int
    share: Estimate


class Captions(Record):
    """What reference captions tell about the boxes, over the images that have both."""

    model_config = ConfigDict(allow_inf_nan=False)

    images: int
    boxes_alone: Rescored
    joined: Rescored
    """By boxes and captions: the ground truth of `scores.json`."""
    moved: Rescored
    """By boxes alone minus joined, paired: hallucination that was missing annotation."""
    late_early_boxes_alone: Fit = Field(
        validation_alias=AliasChoices("late_early_boxes_alone", "adjusted_boxes_alone")
    )
    late_early_joined: Fit = Field(validation_alias=AliasChoices("late_early_joined", "adjusted_joined"))
    looks: tuple[SourceCounts, ...]
    unannotated: tuple[Unannotated, ...]
    dependence: float | None
    """How many times more often than if independent both sources would have to miss what is hallucinated late, for the
    odds ratio to be 1. It is the tipping point (at random, estimate) divided by the late `unannotated` share by the
    strata of prevalence. Null if either is missing or the share is 0."""


def with_truth(sample: JudgedSample, objects: frozenset[str]) -> JudgedSample:
    """Return the sample with the verdicts of another ground truth."""
    return replace(sample, judgement=with_verdicts(sample.judgement, objects), objects=objects)


def compare_captions(
    samples: Sequence[JudgedSample],
    strata: Sequence[Strata],
    tipping: Sequence[Tipping],
    *,
    seed: int,
    resamples: int,
) -> Captions:
    """Return the comparison of the two sources, over samples whose sources are known."""
    boxes = read_events([with_truth(s, s.sources.annotated) for s in samples if s.sources is not None])
    joined = read_events(samples)
    images = [sample.response.image_id for sample in samples]
    looks, unannotated = _count_by_source(samples, joined, strata, seed=seed, resamples=resamples)
    moved = _rescored(boxes, joined, images, seed=seed, resamples=resamples)
    needed = next((t.share for t in tipping if (t.order, t.bound) == ("at random", "estimate")), None)
    there = next(u.share.value for u in unannotated if (u.split, u.part) == ("prevalence", "late"))
    return Captions(
        images=len(set(images)),
        boxes_alone=moved["boxes"],
        joined=moved["joined"],
        moved=moved["moved"],
        late_early_boxes_alone=fit_late_early("boxes alone", boxes),
        late_early_joined=fit_late_early("boxes and captions", joined),
        looks=looks,
        unannotated=unannotated,
        dependence=needed / there if needed is not None and there else None,
    )


def _rescored(
    boxes: Events, joined: Events, images: Sequence[ImageId], *, seed: int, resamples: int
) -> dict[str, Rescored]:
    """Return the rates of first mentions under both ground truths, and their differences. The mentions are the same."""
    word, first = joined.mentions.word, joined.mentions.first
    counts = [
        np.bincount(joined.mentions.response[chosen & right], minlength=len(images))
        for low, high in (EARLY, LATE)
        for chosen in (first & (word >= low) & (word < high),)
        for right in (first, boxes.mentions.hallucinated, joined.mentions.hallucinated)
    ]

    def compute(totals: FloatArray) -> dict[str, FloatArray]:
        n_early, boxes_early, joined_early, n_late, boxes_late, joined_late = np.moveaxis(totals, -1, 0)
        found: dict[str, FloatArray] = {}
        for name, early, late in (("boxes", boxes_early, boxes_late), ("joined", joined_early, joined_late)):
            found[f"{name} early"], found[f"{name} late"] = ratio(early, n_early), ratio(late, n_late)
            found[f"{name} change"] = found[f"{name} late"] - found[f"{name} early"]
        for part in ("early", "late", "change"):
            found[f"moved {part}"] = found[f"boxes {part}"] - found[f"joined {part}"]
        return found

    def shares(totals: FloatArray) -> dict[str, Share]:
        n_early, boxes_early, joined_early, n_late, boxes_late, joined_late = np.moveaxis(totals, -1, 0)
        return {
            "boxes early": Share(boxes_early, n_early),
            "boxes late": Share(boxes_late, n_late),
            "joined early": Share(joined_early, n_early),
            "joined late": Share(joined_late, n_late),
        }

    found = bootstrap(
        np.stack(counts, axis=1).astype(float),
        images,
        compute,
        shares=shares,
        seed=seed,
        resamples=resamples,
    )
    return {
        name: Rescored(
            early=found[f"{name} early"].estimate(),
            late=found[f"{name} late"].estimate(),
            change=found[f"{name} change"].estimate(),
        )
        for name in ("boxes", "joined", "moved")
    }


def _count_by_source(
    samples: Sequence[JudgedSample],
    events: Events,
    strata: Sequence[Strata],
    *,
    seed: int,
    resamples: int,
) -> tuple[tuple[SourceCounts, ...], tuple[Unannotated, ...]]:
    """Count the first mentions by part, stratum and source."""
    first = events.mentions.select(events.mentions.first)
    rows = [(m.category, s.sources) for s in samples if s.sources is not None for m in first_mentions(s)]
    part = np.digitize(first.word, [EARLY[1], LATE[0]])
    # 0: both sources, 1: a box alone, 2: a caption alone, 3: neither.
    seen = np.array(
        [2 * (name not in sources.annotated) + (name not in sources.captioned) for name, sources in rows],
        dtype=np.intp,
    )
    everything = Strata("all", {}, {name: 0 for name, _ in rows})
    looks: list[SourceCounts] = []
    unannotated: list[Unannotated] = []
    for split in (everything, *strata):
        third = np.array([split.third.get(name, -1) for name, _ in rows], dtype=np.intp)
        names = NAMES[split.split]
        counts = _cells(first.response, third, part, seen, len(samples), len(names))
        images = [sample.response.image_id for sample in samples]
        found = bootstrap(
            counts.reshape(len(samples), -1),
            images,
            lambda totals, shape=counts.shape[1:]: _estimates(totals.reshape(*totals.shape[:-1], *shape)),  # type: ignore[misc]
            shares=lambda totals, shape=counts.shape[1:]: _shares(totals.reshape(*totals.shape[:-1], *shape)),  # type: ignore[misc]
            seed=seed,
            resamples=resamples,
        )
        sums = counts.sum(axis=0).astype(int)
        for at, label in enumerate(PARTS):
            unannotated.append(
                Unannotated(
                    split=split.split,
                    part=label,
                    hallucinated=int(sums[:, at, 3].sum()),
                    share=found["share"].estimate(at),
                )
            )
            for number, name in enumerate(names):
                both, by_box, by_caption, neither = sums[number, at].tolist()
                looks.append(
                    SourceCounts(
                        split=split.split,
                        name=name,
                        part=label,
                        both=both,
                        boxes=by_box,
                        captions=by_caption,
                        neither=neither,
                        confirmed=found["confirmed"].estimate(number, at),
                        recall=found["recall"].estimate(number, at),
                    )
                )
    return tuple(looks), tuple(unannotated)


def _cells(
    response: IntArray, third: IntArray, part: IntArray, seen: IntArray, responses: int, thirds: int
) -> FloatArray:
    """Return the mentions of each response by stratum, part and source, shape (responses, thirds, 3, 4)."""
    shape = (responses, thirds, len(PARTS), 4)
    kept = third >= 0
    flat = np.ravel_multi_index((response[kept], third[kept], part[kept], seen[kept]), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(float)


def _estimates(cells: FloatArray) -> dict[str, FloatArray]:
    """Map counts (..., thirds, parts, 4) to `confirmed` and `recall`, (..., thirds, parts), and `share`, (..., parts).

    The estimate is Chapman's (1951) form of boxes·captions/both, which is nearly unbiased and defined if both is 0.
    """
    both, boxes, captions, neither = np.moveaxis(cells, -1, 0)
    there = boxes * captions / (both + 1)
    return {
        "confirmed": ratio(captions, captions + neither),
        "recall": ratio(both, both + boxes),
        "share": np.minimum(ratio(there.sum(axis=-2), neither.sum(axis=-2)), 1.0),
    }


def _shares(cells: FloatArray) -> dict[str, Share]:
    """Map counts (..., thirds, parts, 4) to the events and trials of `confirmed` and `recall`, (..., thirds, parts)."""
    both, boxes, captions, neither = np.moveaxis(cells, -1, 0)
    return {"confirmed": Share(captions, captions + neither), "recall": Share(both, both + boxes)}


def fit_late_early(label: str, events: Events) -> Fit:
    """Return the late-minus-early odds ratio over all first mentions."""
    first = events.mentions.select(events.mentions.first)
    return fit(label, events, first, covariates(events.responses, first))
