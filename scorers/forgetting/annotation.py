"""How far incomplete annotation can be the rise with position: what strata, captions and a tipping point say.

Small and background objects are named late and often lack a box; each such mention is counted as hallucinated. Three
things are said of it, each with what it takes for granted:

- **Strata** of the categories, by how common they are and by how large their boxes usually are. Annotators miss little
  of what is large and common; a rise there is not their doing.
- **Captions**, where they joined the truth. They are a second look at the picture, by people who did not see the boxes.
  Everything is scored again by the boxes alone: what moves is annotation. And as in the counting of animals by two
  visits (Lincoln-Petersen; Chapman 1951), what each look misses of the other's says how much both miss: of the first
  mentions in a stratum, with `both`, `boxes` and `captions` counting those that are true by both and by one alone,
  boxes·captions/both more are there and in neither, if the two looks miss independently. They do not: what is small is
  missed by both, so this is a lower estimate. With an odds ratio w between the looks it is w times as many.
- A **tipping point** (`tipping.py`): the share of the late hallucinations that would have to be there.

`dependence` is the w at which the two meet. No data without another look at the pictures can tell what w is; nor what
is neither annotated nor named by anybody, and so lacks in the count of objects still unnamed.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, JudgedSample, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId, Mention, Record
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.adjusted import covariates
from eidolon.scorers.forgetting.events import Events, IntArray, in_order, read_events
from eidolon.scorers.forgetting.fits import Fit, fit
from eidolon.scorers.forgetting.subsets import EARLY, LATE
from eidolon.scorers.forgetting.tipping import Tipping, tipping_points
from eidolon.scorers.statistics.bootstrap import bootstrap

Part: TypeAlias = Literal["early", "middle", "late"]
Split: TypeAlias = Literal["all", "prevalence", "size"]
PARTS: dict[Part, tuple[float, float]] = {"early": EARLY, "middle": (EARLY[1], LATE[0]), "late": LATE}
THIRDS = 3
NAMES: dict[Split, tuple[str, ...]] = {
    "all": ("all",),
    "prevalence": ("rare", "middling", "common"),
    "size": ("small", "middling", "large"),
}
_COMPLETE = re.compile(r"scenes-\d+-\d+")
"""Images whose truth is complete by construction: what Scenes has drawn."""


class Rescored(Record):
    """Hallucination of first mentions by position, under one truth, or what differs between two."""

    early: Estimate
    late: Estimate
    change: Estimate
    """Late minus early."""


class CategoryStratum(Record):
    """Categories of one kind, with the odds ratio among their first mentions alone."""

    model_config = ConfigDict(allow_inf_nan=False)

    split: Split
    name: str
    lowest: float
    highest: float
    """Of the categories in it: share of the images that hold them, or median share of the image that their largest box
    covers."""
    categories: int
    adjusted: Fit


class Looks(Record):
    """First mentions of a part of the responses and a stratum of categories, by who says that the object is there."""

    model_config = ConfigDict(allow_inf_nan=False)

    split: Split
    name: str
    part: Part
    both: int
    boxes: int
    """By a box alone."""
    captions: int
    """By a caption alone."""
    neither: int
    confirmed: Estimate
    """Of the mentions without a box, the share that captions name: hallucinations by the boxes that are none."""
    recall: Estimate
    """Of the mentions with a box, the share that captions name."""


class Unannotated(Record):
    """The share of the hallucinations left, by boxes and captions, that are there, if the two miss independently."""

    split: Split
    """By which strata; sums over them lean less on all objects being as easily missed."""
    part: Part
    hallucinated: int
    share: Estimate


class Captions(Record):
    """What reference captions say about the boxes, over the images that have both."""

    model_config = ConfigDict(allow_inf_nan=False)

    images: int
    boxes_alone: Rescored
    joined: Rescored
    """Boxes and captions: the truth of `scores.json`."""
    moved: Rescored
    """By boxes alone minus joined, paired: hallucination that was annotation's."""
    adjusted_boxes_alone: Fit
    adjusted_joined: Fit
    looks: tuple[Looks, ...]
    unannotated: tuple[Unannotated, ...]
    dependence: float | None
    """How many times more often than by independence both looks would have to miss what is hallucinated late for the
    odds ratio to fall to 1: the tipping point (at random, estimate) over the late `unannotated` share by the
    strata of prevalence. Null where either lacks or the share is 0."""


class Annotation(Record):
    """What incomplete annotation can and cannot explain."""

    strata: tuple[CategoryStratum, ...]
    tipping: tuple[Tipping, ...]
    captions: Captions | None = None
    """Null where captions did not join the truth."""


@dataclass(frozen=True, slots=True)
class _Strata:
    """Categories put into thirds of the first mentions; a category without a value is in none."""

    split: Split
    value: Mapping[str, float]
    third: Mapping[str, int]


def annotation_bounds(
    samples: Sequence[JudgedSample],
    *,
    events: Events | None = None,
    adjusted: Fit | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Annotation | None:
    """Return what can be said; None where the truth is complete by construction.

    `events` are those of the samples and `adjusted` is the summary, where the caller has them already. Where that
    cannot be fitted nothing else is.
    """
    if all(_COMPLETE.fullmatch(str(sample.response.image_id)) for sample in samples):
        return None
    events = read_events(samples) if events is None else events
    adjusted = _adjusted("adjusted", events) if adjusted is None else adjusted
    strata = _strata(samples)
    tipping = tipping_points(samples, events=events, seed=seed) if adjusted.reason is None else ()
    known = [sample for sample in samples if sample.sources is not None]
    return Annotation(
        strata=_by_category(samples, events, strata, adjusted.reason),
        tipping=tipping,
        captions=_captions(known, strata, tipping, seed=seed, resamples=resamples) if known else None,
    )


def with_truth(sample: JudgedSample, objects: frozenset[str]) -> JudgedSample:
    """Return the sample as it would be judged by another truth."""
    return replace(sample, judgement=with_verdicts(sample.judgement, objects), objects=objects)


def _strata(samples: Sequence[JudgedSample]) -> list[_Strata]:
    images = {sample.response.image_id: sample for sample in samples}.values()
    named = Counter(m.category for sample in samples for m in _first_mentions(sample))
    held = Counter(name for sample in images for name in sample.objects)
    sizes: dict[str, list[float]] = {}
    for sample in images:
        for name, area in sample.areas.items():
            sizes.setdefault(name, []).append(area)
    prevalence = {name: held[name] / len(images) for name in named}
    size = {name: median(sizes[name]) for name in named if name in sizes}
    found = [_Strata("prevalence", prevalence, _thirds(prevalence, named))]
    return [*found, _Strata("size", size, _thirds(size, named))] if size else found


def _thirds(value: Mapping[str, float], named: Mapping[str, int]) -> dict[str, int]:
    """Put categories into thirds by their value, so that each third has about as many mentions; names break ties."""
    total, before = sum(named[name] for name in value), 0
    thirds = {}
    for name in sorted(value, key=lambda name: (value[name], name)):
        thirds[name] = min(THIRDS - 1, int(THIRDS * (before + named[name] / 2) / total))
        before += named[name]
    return thirds


def _by_category(
    samples: Sequence[JudgedSample], events: Events, strata: Sequence[_Strata], reason: str | None
) -> tuple[CategoryStratum, ...]:
    """Fit each stratum, unless there is a reason why even all of them together cannot be fitted."""
    first = events.mentions.select(events.mentions.first)
    named = [m.category for sample in samples for m in _first_mentions(sample)]
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
                adjusted = (
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
                        adjusted=adjusted,
                    )
                )
    return tuple(found)


def _captions(
    samples: Sequence[JudgedSample],
    strata: Sequence[_Strata],
    tipping: Sequence[Tipping],
    *,
    seed: int,
    resamples: int,
) -> Captions:
    """Compare the two looks over samples whose sources are known."""
    boxes = read_events([with_truth(s, s.sources.annotated) for s in samples if s.sources is not None])
    joined = read_events(samples)
    images = [sample.response.image_id for sample in samples]
    looks, unannotated = _looks(samples, joined, strata, seed=seed, resamples=resamples)
    moved = _rescored(boxes, joined, images, seed=seed, resamples=resamples)
    needed = next((t.share for t in tipping if (t.order, t.bound) == ("at random", "estimate")), None)
    there = next(u.share.value for u in unannotated if (u.split, u.part) == ("prevalence", "late"))
    return Captions(
        images=len(set(images)),
        boxes_alone=moved["boxes"],
        joined=moved["joined"],
        moved=moved["moved"],
        adjusted_boxes_alone=_adjusted("boxes alone", boxes),
        adjusted_joined=_adjusted("boxes and captions", joined),
        looks=looks,
        unannotated=unannotated,
        dependence=needed / there if needed is not None and there else None,
    )


def _rescored(
    boxes: Events, joined: Events, images: Sequence[ImageId], *, seed: int, resamples: int
) -> dict[str, Rescored]:
    """Return the rates of first mentions by both truths and their differences; both have the same mentions."""
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

    found = bootstrap(np.stack(counts, axis=1).astype(float), images, compute, seed=seed, resamples=resamples)
    return {
        name: Rescored(
            early=found[f"{name} early"].estimate(),
            late=found[f"{name} late"].estimate(),
            change=found[f"{name} change"].estimate(),
        )
        for name in ("boxes", "joined", "moved")
    }


def _looks(
    samples: Sequence[JudgedSample],
    events: Events,
    strata: Sequence[_Strata],
    *,
    seed: int,
    resamples: int,
) -> tuple[tuple[Looks, ...], tuple[Unannotated, ...]]:
    """Count the first mentions by part, stratum and who says that the object is there."""
    first = events.mentions.select(events.mentions.first)
    rows = [(m.category, s.sources) for s in samples if s.sources is not None for m in _first_mentions(s)]
    part = np.digitize(first.word, [EARLY[1], LATE[0]])
    # 0: by both, 1: by a box alone, 2: by a caption alone, 3: by neither.
    seen = np.array(
        [2 * (name not in sources.annotated) + (name not in sources.captioned) for name, sources in rows],
        dtype=np.intp,
    )
    everything = _Strata("all", {}, {name: 0 for name, _ in rows})
    looks: list[Looks] = []
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
                    Looks(
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
    """Return the mentions of each response by stratum, part and look, shape (responses, thirds, 3, 4)."""
    shape = (responses, thirds, len(PARTS), 4)
    kept = third >= 0
    flat = np.ravel_multi_index((response[kept], third[kept], part[kept], seen[kept]), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(float)


def _estimates(cells: FloatArray) -> dict[str, FloatArray]:
    """Return what follows from counts (..., thirds, parts, 4): by stratum and part, and the share (..., parts).

    Chapman's (1951) form of boxes·captions/both, which is nearly unbiased and defined where both is 0.
    """
    both, boxes, captions, neither = np.moveaxis(cells, -1, 0)
    there = boxes * captions / (both + 1)
    return {
        "confirmed": ratio(captions, captions + neither),
        "recall": ratio(both, both + boxes),
        "share": np.minimum(ratio(there.sum(axis=-2), neither.sum(axis=-2)), 1.0),
    }


def _first_mentions(sample: JudgedSample) -> list[Mention]:
    """Return the first mention of each category, in reading order: the sample's rows among first mentions."""
    first: dict[str, Mention] = {}
    for mention in in_order(sample):
        first.setdefault(mention.category, mention)
    return list(first.values())


def _adjusted(label: str, events: Events) -> Fit:
    first = events.mentions.select(events.mentions.first)
    return fit(label, events, first, covariates(events.responses, first))
