"""Forced orders: what a model names after a given text that already names some of the true objects.

The given text names the small objects or the large ones, right away or after neutral sentences. So position and the
difficulty of the remaining objects vary independently: the same objects remain at two positions, and other objects
remain at the same position, with about as many of them unnamed.

    difficulty   mean over both positions of   (large named, small left) - (small named, large left)
    lateness     mean over both orders of      late - soon

The contrasts are computed for the share of first mentions that are wrong, for wrong ones per 100 words, and for the
share of the remaining objects that are named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, JudgedSample, Share, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import Mention, Record
from eidolon.scorers.forgetting.continued_turn import ContinuedTurn
from eidolon.scorers.forgetting.paired_effects import with_width
from eidolon.scorers.statistics.bootstrap import bootstrap

WINDOW = 60
"""Words after the given text that are evaluated. The late text is this many words longer than the soon one."""
LEAST_IMAGES = 8
"""Smallest number of images with contrasts. With fewer, the intervals would be too narrow."""
LEAST_MENTIONS = 20
"""Smallest number of mentions of a cell in a contrast. With a few mentions and no wrong one, an interval would be a
point."""
DETECTABLE = 2.8 / 1.96
"""Factor from half an interval to the difference that is found with 80 % power: (1.96 + 0.84) / 1.96 standard errors.
"""

Order: TypeAlias = Literal["small", "large"]
"""The true objects that the given text names. The others remain."""
CellOrder: TypeAlias = Literal["small", "large", "own"]
"""As `Order`, or `own`: without a given text, the model's own description from the same word on."""
Verdict: TypeAlias = Literal[
    "what is left, not lateness", "lateness, not what is left", "both", "neither shows", "not measured"
]
ContrastName: TypeAlias = Literal[
    "difficulty", "lateness", "interaction", "own_rise", "own_minus_small", "own_minus_large"
]

ARMS: tuple[tuple[Order, bool], ...] = (("small", False), ("large", False), ("small", True), ("large", True))
"""Order and lateness of the given texts, in the order of their numbers in `orders.jsonl`."""
CELLS: tuple[tuple[CellOrder, bool], ...] = (*ARMS, ("own", False), ("own", True))
QUANTITIES = ("rate", "per_100", "recall", "next")
CONTRASTS: dict[ContrastName, dict[tuple[CellOrder, bool], float]] = {
    "difficulty": {
        ("large", False): 0.5,
        ("large", True): 0.5,
        ("small", False): -0.5,
        ("small", True): -0.5,
    },
    "lateness": {("small", True): 0.5, ("large", True): 0.5, ("small", False): -0.5, ("large", False): -0.5},
    "interaction": {("large", True): 1, ("small", True): -1, ("large", False): -1, ("small", False): 1},
    "own_rise": {("own", True): 1, ("own", False): -1},
    "own_minus_small": {("own", False): 1, ("small", False): -1},
    "own_minus_large": {("own", False): 1, ("large", False): -1},
}
"""Weight of each cell in each contrast."""
COLUMNS = (
    "turns",
    "before",
    "mentions",
    "hallucinated",
    "forced",
    "words",
    "left",
    "recalled",
    "next",
    "next_hallucinated",
    "area",
    "sized",
)


class ForcedTurn(ContinuedTurn):
    """A line of `orders.jsonl`. The given text is that of one of `ARMS`, with its number as `generation`."""

    order: Order
    late: bool
    named: tuple[str, ...]
    """The categories that the given text names, in its order."""


class OrderCell(Record):
    """What was named within `WINDOW` words of a position, after one of the given texts or in the own description."""

    model_config = ConfigDict(allow_inf_nan=False)

    order: CellOrder
    late: bool
    turns: int
    """Turns with at least one word there."""
    words_before: float | None
    """Mean number of words before the position."""
    area_left: float | None
    """Mean share of the image that the unnamed true objects cover at the position."""
    mentions: int
    """First mentions with a true object still unnamed."""
    hallucinated: int
    """The wrong ones among `mentions`."""
    forced: int
    """First mentions after all true objects were named. They cannot be right."""
    words: int
    rate: Estimate
    """hallucinated / mentions."""
    per_100: Estimate
    """Wrong first mentions, including forced ones, per 100 words written there."""
    recall: Estimate
    """Share of the true objects unnamed at the position that are named there."""
    next: Estimate
    """Share of the very next first mentions that are wrong."""


class OrderContrast(Record):
    """A difference between cells, resampled together by image."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: ContrastName
    rate: Estimate
    per_100: Estimate
    recall: Estimate
    next: Estimate
    detectable: float | None
    """Smallest difference of the rate that is found with 80 % power."""
    reason: str | None = None
    """Why there is no contrast."""


class OrdersSummary(Record):
    """All results of forced orders."""

    images: int
    """Images with four judged turns."""
    incomplete: int
    """Images with fewer judged turns."""
    verdict: Verdict
    cells: tuple[OrderCell, ...]
    contrasts: tuple[OrderContrast, ...]
    reason: str | None = None
    """Why there are no results."""


@dataclass(frozen=True, slots=True)
class ImageTruth:
    """The true objects of an image."""

    objects: frozenset[str]
    areas: Mapping[str, float]
    """For some or all of them, the share of the image that the largest instance covers."""


def measure_orders(
    continued: Sequence[ForcedTurn],
    truth: Mapping[str, ImageTruth],
    own: Mapping[str, JudgedSample],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> OrdersSummary:
    """Return the comparison of the orders. `truth` and the model's `own` descriptions are by sample id.

    Intervals are percentile bootstraps over images, with all turns of an image together. An image with a turn that
    could not be judged is left out. Its own description may be missing.
    """
    turns = {(line.sample_id, line.order, line.late): line for line in continued}
    ids = list(dict.fromkeys(line.sample_id for line in continued))
    whole = [i for i in ids if all((t := turns.get((i, *arm))) and t.unscored is None for arm in ARMS)]
    images = [turns[i, "small", False].image_id for i in whole]
    statistics = np.zeros((len(whole), len(CELLS) * len(COLUMNS)))
    for row, i in enumerate(whole):
        statistics[row] = np.ravel(_cells({arm: turns[i, *arm] for arm in ARMS}, truth[i], own.get(i)))
    results = bootstrap(statistics, images, compute, shares=shares, seed=seed, resamples=resamples)
    found = {name: result.estimate() for name, result in results.items()}
    sums = statistics.sum(axis=0).reshape(len(CELLS), len(COLUMNS)).tolist()
    reason = None
    if not continued:
        reason = "no picture has two true objects of known size"
    elif len(set(images)) < LEAST_IMAGES:
        reason = f"{len(set(images))} images, fewer than {LEAST_IMAGES}"
    cells = {
        cell: _cell(cell, of, {quantity: found[f"{cell}/{quantity}"] for quantity in QUANTITIES})
        for cell, of in zip(CELLS, sums, strict=True)
    }
    seen = len(set(images))
    contrasts = [_contrast(name, cells, found, seen) for name in CONTRASTS if reason is None]
    return OrdersSummary(
        images=len(whole),
        incomplete=len(ids) - len(whole),
        verdict=_verdict({contrast.name: contrast.rate for contrast in contrasts}),
        cells=tuple(cells.values()),
        contrasts=tuple(contrasts),
        reason=reason,
    )


def no_orders(reason: str) -> OrdersSummary:
    """Return the results without any turn."""
    return OrdersSummary(
        images=0, incomplete=0, verdict="not measured", cells=(), contrasts=(), reason=reason
    )


def count(
    text: str, mentions: Sequence[Mention], truth: ImageTruth, start: int, named: frozenset[str] = frozenset()
) -> list[float]:
    """Return the values named by `COLUMNS` of one turn from word `start` on. `named` counts as named before."""
    length = len(text.split())
    seen = {*named, *(m.category for m in mentions if m.word < start)}
    left = truth.objects - seen
    sized = [truth.areas[name] for name in left if name in truth.areas]
    tally = dict.fromkeys(COLUMNS, 0.0)
    tally |= {"left": len(left), "area": sum(sized), "sized": len(sized)}
    if length > start:
        tally |= {"turns": 1, "before": start, "words": min(length - start, WINDOW)}
    for mention in sorted(mentions, key=lambda mention: (mention.start, mention.end)):
        if mention.category in seen or not start <= mention.word < start + WINDOW:
            continue
        wrong = mention.category not in truth.objects
        if not truth.objects - seen:
            tally["forced"] += 1
        else:
            if not tally["mentions"]:
                tally["next"], tally["next_hallucinated"] = 1, wrong
            tally["mentions"] += 1
            tally["hallucinated"] += wrong
        tally["recalled"] += not wrong
        seen.add(mention.category)
    return [float(tally[name]) for name in COLUMNS]


def _cells(
    turns: Mapping[tuple[Order, bool], ForcedTurn], truth: ImageTruth, own: JudgedSample | None
) -> list[list[float]]:
    """Return the counts of every cell of one image. Its own description counts from where the given texts end."""
    counts: dict[tuple[CellOrder, bool], list[float]] = {
        arm: count(turn.response or "", turn.mentions, truth, len(turn.given.split()), frozenset(turn.named))
        for arm, turn in turns.items()
    }
    nothing = [0.0] * len(COLUMNS)
    text, mentions = ("", ()) if own is None else (own.response.response or "", own.judgement.mentions)
    for late in (False, True):
        start = max(len(turn.given.split()) for arm, turn in turns.items() if arm[1] == late)
        counts["own", late] = nothing if own is None else count(text, mentions, truth, start)
    return [counts[cell] for cell in CELLS]


def shares(totals: FloatArray) -> dict[str, Share]:
    """Map totals (..., 72) to the events and trials of the shares of each cell, each (...), by `cell/quantity`."""
    columns = np.moveaxis(totals.reshape(*totals.shape[:-1], len(CELLS), len(COLUMNS)), -1, 0)
    of = dict(zip(COLUMNS, columns, strict=True))
    counted = {
        "rate": ("hallucinated", "mentions"),
        "recall": ("recalled", "left"),
        "next": ("next_hallucinated", "next"),
    }
    found = {
        f"{cell}/{name}": Share(of[events][..., i], of[trials][..., i])
        for i, cell in enumerate(CELLS)
        for name, (events, trials) in counted.items()
    }
    counts = (of["hallucinated"] + of["forced"], of["mentions"] + of["forced"], of["words"])
    return found | {
        f"{cell}/per_100": Share.per_100_words(*(count[..., i] for count in counts))
        for i, cell in enumerate(CELLS)
    }


def compute(totals: FloatArray) -> dict[str, FloatArray]:
    """Map totals (..., 72) to the quantities of each cell and contrast, shape (...), by `cell/quantity`."""
    columns = np.moveaxis(totals.reshape(*totals.shape[:-1], len(CELLS), len(COLUMNS)), -1, 0)
    of = dict(zip(COLUMNS, columns, strict=True))
    by_cell = {
        "rate": ratio(of["hallucinated"], of["mentions"]),
        "per_100": 100 * ratio(of["hallucinated"] + of["forced"], of["words"]),
        "recall": ratio(of["recalled"], of["left"]),
        "next": ratio(of["next_hallucinated"], of["next"]),
    }
    found = {f"{cell}/{name}": by_cell[name][..., i] for i, cell in enumerate(CELLS) for name in QUANTITIES}
    for contrast, weights in CONTRASTS.items():
        for name in QUANTITIES:
            parts = [weight * found[f"{cell}/{name}"] for cell, weight in weights.items()]
            found[f"{contrast}/{name}"] = np.sum(parts, axis=0)
    return found


def _cell(cell: tuple[CellOrder, bool], sums: Sequence[float], numbers: Mapping[str, Estimate]) -> OrderCell:
    of = dict(zip(COLUMNS, sums, strict=True))
    return OrderCell(
        order=cell[0],
        late=cell[1],
        turns=int(of["turns"]),
        words_before=of["before"] / of["turns"] if of["turns"] else None,
        area_left=of["area"] / of["sized"] if of["sized"] else None,
        mentions=int(of["mentions"]),
        hallucinated=int(of["hallucinated"]),
        forced=int(of["forced"]),
        words=int(of["words"]),
        **numbers,
    )


def _contrast(
    name: ContrastName,
    cells: Mapping[tuple[CellOrder, bool], OrderCell],
    found: Mapping[str, Estimate],
    images: int,
) -> OrderContrast:
    thin = next((cells[cell] for cell in CONTRASTS[name] if cells[cell].mentions < LEAST_MENTIONS), None)
    if thin is not None:
        when = "late" if thin.late else "soon"
        return OrderContrast(
            name=name,
            **dict.fromkeys(QUANTITIES, Estimate.undefined()),
            detectable=None,
            reason=f"{thin.order}, {when}: {thin.mentions} first mentions, fewer than {LEAST_MENTIONS}",
        )
    numbers = with_width(
        {quantity: found[f"{name}/{quantity}"] for quantity in QUANTITIES},
        images=images,
        largest=sum(map(abs, CONTRASTS[name].values())) / 2,
    )
    return OrderContrast(name=name, **numbers, detectable=_detectable(numbers["rate"]))


def _detectable(difference: Estimate) -> float | None:
    if difference.ci is None:
        return None
    low, high = difference.ci
    return DETECTABLE * (high - low) / 2


def _verdict(rates: Mapping[ContrastName, Estimate]) -> Verdict:
    bounds = {name: rates[name].ci for name in rates}
    difficulty, lateness = bounds.get("difficulty"), bounds.get("lateness")
    if difficulty is None or lateness is None:
        return "not measured"
    verdicts: dict[tuple[bool, bool], Verdict] = {
        (True, True): "both",
        (True, False): "what is left, not lateness",
        (False, True): "lateness, not what is left",
        (False, False): "neither shows",
    }
    return verdicts[difficulty[0] > 0, lateness[0] > 0]
