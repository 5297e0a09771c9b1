"""The tipping point: how many late hallucinations would have to be unannotated objects for the rise to vanish.

What a model names late may be in the image without an annotation. How often is unknown, so the question is reversed,
as in sensitivity analyses of unmeasured confounding (Rosenbaum 2002; VanderWeele and Ding 2017). Some of the objects
that were hallucinated late are declared to be true. Everything that depends on the ground truth is computed again.
The result is the share at which the late-minus-early odds ratio is 1.

An object is in an image or not, in every response alike, so pairs of image and category are declared. A declared object
counts as unnamed before it is named. So mentions that were forced by exhaustion may enter the fit again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, log
from typing import Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.metric import FloatArray, JudgedSample
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.core.verdict import counted_mentions
from eidolon.scorers.forgetting.events import BoolArray, Events, IntArray, in_order, read_events
from eidolon.scorers.forgetting.late_early import late_early_odds_ratio
from eidolon.scorers.forgetting.subsets import LATE
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

Order: TypeAlias = Literal["at random", "latest first"]
Bound: TypeAlias = Literal["estimate", "interval"]
BOUNDS: tuple[Bound, ...] = ("estimate", "interval")
DRAWS = 3
"""Number of random orders. Their range is reported."""
STEPS = 8
"""The share is bracketed to one part in `STEPS`, then interpolated: in between the log odds ratio is almost linear."""

_Pair: TypeAlias = tuple[ImageId, str]


class Tipping(Record):
    """The share of the hallucinated objects that would have to be there."""

    model_config = ConfigDict(allow_inf_nan=False)

    order: Order
    """Which objects are declared to be true: some at random, or those named last first. The latter usually takes
    fewer, but it is not always the minimum."""
    bound: Bound
    """What reaches 1: the `estimate`, or the lower end of its `interval`, which then no longer excludes 1."""
    objects: int
    """Hallucinated pairs of image and category that are first named from word 60 on. `share` is a share of them."""
    share: float | None
    """0 if the bound is not above 1 without any declaration."""
    lowest: float | None = None
    highest: float | None = None
    """`lowest` and `highest` are over the random orders. `share` is their mean."""
    reason: str | None = None
    """Why there is no share: all objects together do not suffice, or too few hallucinations are left to fit."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The hallucinated pairs of image and category of a run, and the effect of declaring some of them true."""

    events: Events
    word: FloatArray
    """Mean position of the first mentions of each pair, shape (pairs,)."""
    of_mention: IntArray
    """The pair that a mention names, -1 if the mention is true, shape (mentions,)."""
    response: IntArray
    pair: IntArray
    """`response` and `pair`, shape (rows,), list the responses whose ground truth each pair would join. These are all
    responses to its image, except those that name it by ignored mentions only."""

    def __len__(self) -> int:
        return len(self.word)

    def declared(self, there: BoolArray) -> Events:
        """Return the events if some of the pairs, bool (pairs,), were true objects.

        The error rate of a guesser by prevalence, and the areas, do not change.
        """
        responses, mentions = self.events.responses, self.events.mentions
        joined = np.bincount(self.response[there[self.pair]], minlength=len(responses))
        found = np.r_[there, False][self.of_mention]
        # Declared objects that the response named before: a running count, minus its value at the start.
        new = found & mentions.first
        before = np.cumsum(new) - new
        starts = np.searchsorted(mentions.response, np.arange(len(responses)))
        named = before - np.r_[before, 0][starts][mentions.response]
        return Events(
            replace(responses, true_objects=responses.true_objects + joined),
            replace(
                mentions,
                hallucinated=mentions.hallucinated & ~found,
                unnamed=mentions.unnamed + joined[mentions.response] - named,
            ),
        )


def candidates(samples: Sequence[JudgedSample], events: Events | None = None) -> Candidates:
    """Return the hallucinated pairs of judged samples, in the order of their first mention.

    `events` are those of the samples, if the caller has them already.
    """
    events = read_events(samples) if events is None else events
    index: dict[_Pair, int] = {}
    words: list[list[int]] = []
    of_mention: list[int] = []
    for sample in samples:
        new: set[str] = set()
        for mention in in_order(sample):
            if mention.verdict != "hallucinated":
                of_mention.append(-1)
                continue
            at = index.setdefault((sample.response.image_id, mention.category), len(index))
            if at == len(words):
                words.append([])
            if mention.category not in new:
                words[at].append(mention.word)
            new.add(mention.category)
            of_mention.append(at)
    of_image: dict[ImageId, list[tuple[str, int]]] = {}
    for (image, category), at in index.items():
        of_image.setdefault(image, []).append((category, at))
    rows = []
    for number, sample in enumerate(samples):
        silent = _ignored_alone(sample)
        for category, at in of_image.get(sample.response.image_id, ()):
            if category not in silent:
                rows.append((number, at))
    response, pair = np.array(rows, dtype=np.intp).reshape(-1, 2).T
    return Candidates(
        events,
        np.array([float(np.mean(found)) for found in words]),
        np.array(of_mention, dtype=np.intp),
        response,
        pair,
    )


def tipping_points(
    samples: Sequence[JudgedSample], *, events: Events | None = None, seed: int = 0
) -> tuple[Tipping, ...]:
    """Return the tipping points of each order and bound.

    The result is empty if nothing is hallucinated late, or the late-minus-early odds ratio cannot be fitted.
    """
    found = candidates(samples, events)
    late = np.flatnonzero(found.word >= LATE[0])
    latest = late[np.argsort(-found.word[late], kind="stable")]
    fits = _Fits(found)
    if not len(late) or fits(late[:0]) is None:
        return ()
    rng = np.random.default_rng(seed)
    orders: dict[Order, list[IntArray]] = {
        "at random": [rng.permutation(late) for _ in range(DRAWS)],
        "latest first": [latest],
    }
    return tuple(point for order, drawn in orders.items() for point in _of_order(fits, order, drawn))


def _of_order(fits: "_Fits", order: Order, drawn: Sequence[IntArray]) -> list[Tipping]:
    searches = [_Search(fits, pairs) for pairs in drawn]
    points = []
    for bound in BOUNDS:
        shares = [search.share(bound) for search in searches]
        known = [share for share in shares if not isinstance(share, str)]
        if len(known) < len(shares):
            reason = next(share for share in shares if isinstance(share, str))
            points.append(Tipping(order=order, bound=bound, objects=len(drawn[0]), share=None, reason=reason))
            continue
        several = len(known) > 1
        points.append(
            Tipping(
                order=order,
                bound=bound,
                objects=len(drawn[0]),
                share=float(np.mean(known)),
                lowest=min(known) if several else None,
                highest=max(known) if several else None,
            )
        )
    return points


class _Search:
    """Searches the share of some pairs, declared in their order, at which a bound of the log odds ratio is 0."""

    def __init__(self, fits: "_Fits", order: IntArray) -> None:
        self._fits, self._order = fits, order

    def share(self, bound: Bound) -> float | str:
        """Return the share, or the reason why there is none. Bisection finds one crossing if there are several."""
        low, high = 0, len(self._order)
        objects = high
        if self._value(0, bound) <= 0:
            return 0.0
        if self._value(high, bound) > 0:
            return "the odds ratio stays above 1 if all of them are there"
        while high - low > max(1, objects // STEPS):
            middle = (low + high) // 2
            if self._value(middle, bound) > 0:
                low = middle
            else:
                high = middle
        above, below = self._value(low, bound), self._value(high, bound)
        if below == -inf:
            return f"too few hallucinations are left to fit, from {high / objects:.2f} of them on"
        return (low + (high - low) * above / (above - below)) / objects

    def _value(self, declared: int, bound: Bound) -> float:
        """Return the log odds ratio or the lower end of its interval, minus infinity if it cannot be fitted."""
        fitted = self._fits(self._order[:declared])
        return -inf if fitted is None else fitted[BOUNDS.index(bound)]


class _Fits:
    """The late-minus-early odds ratio with some pairs declared true, fitted once for each set of pairs.

    The responses are of as many kinds as without any declaration: the model is the same for all declarations.
    """

    def __init__(self, found: Candidates) -> None:
        self._found = found
        self._two_kinds = True
        self._known: dict[bytes, tuple[float, float] | None] = {}

    def __call__(self, pairs: IntArray) -> tuple[float, float] | None:
        """Return the log odds ratio and the lower end of its interval, None if it cannot be fitted."""
        there = np.zeros(len(self._found), dtype=bool)
        there[pairs] = True
        key = there.tobytes()
        if key not in self._known:
            self._known[key] = self._fit(there)
        return self._known[key]

    def _fit(self, there: BoolArray) -> tuple[float, float] | None:
        try:
            fitted = late_early_odds_ratio(self._found.declared(there), two_kinds=self._two_kinds)
        except NotEstimableError:
            return None
        if not there.any():
            self._two_kinds = fitted.kinds is not None
        return fitted.log_odds_ratio, log(fitted.low) if fitted.low > 0 else -inf


def _ignored_alone(sample: JudgedSample) -> set[str]:
    """Return the categories that a response names by ignored mentions only. They are in no ground truth of it."""
    return {m.category for m in sample.judgement.mentions} - {m.category for m in counted_mentions(sample)}
