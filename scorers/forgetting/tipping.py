"""How much would have to be there that nobody annotated, for the rise with position to go away: a tipping point.

What a model names late may be there and lack an annotation. Nobody knows how often; so the question is turned round,
as in sensitivity analyses of unmeasured confounding (Rosenbaum 2002; VanderWeele and Ding 2017): some of the objects
that were hallucinated late are declared to be there, everything that follows from the truth is worked out again, and
the share is looked for at which the adjusted odds ratio falls to 1.

An object is there or not in an image, whoever names it: what is declared are pairs of image and category. A declared
object counts as unnamed before it is named, so mentions that were forced by exhaustion may come back into the fit.
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
from eidolon.scorers.forgetting.adjusted import adjusted_odds_ratio
from eidolon.scorers.forgetting.events import BoolArray, Events, IntArray, in_order, read_events
from eidolon.scorers.forgetting.subsets import LATE
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

Order: TypeAlias = Literal["at random", "latest first"]
Bound: TypeAlias = Literal["estimate", "interval"]
BOUNDS: tuple[Bound, ...] = ("estimate", "interval")
DRAWS = 3
"""Random orders; how far they differ is reported."""
STEPS = 8
"""The share is bracketed to one part in so many, then interpolated: between, the log odds ratio is nearly straight."""

_Pair: TypeAlias = tuple[ImageId, str]


class Tipping(Record):
    """The share of the hallucinated objects that would have to be there."""

    model_config = ConfigDict(allow_inf_nan=False)

    order: Order
    """Which are declared to be there: some at random, or those first that were named last, which takes fewer as a rule
    but is not sure to be the least that would do."""
    bound: Bound
    """What falls to 1: the `estimate`, or the lower end of its `interval`, so that it no longer excludes 1."""
    objects: int
    """Hallucinated pairs of image and category first named from word 60 on, of which the share is."""
    share: float | None
    """0 where it is not above 1 to begin with."""
    lowest: float | None = None
    highest: float | None = None
    """Of the random orders; `share` is their mean."""
    reason: str | None = None
    """Why there is none: not even all of them would do, or too few hallucinations are left to fit before."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The hallucinated pairs of image and category of a run, and what follows if some of them are there."""

    events: Events
    word: FloatArray
    """Of each pair, the mean position of its first mentions, shape (pairs,)."""
    of_mention: IntArray
    """The pair that a mention names, -1 where it is true, shape (mentions,)."""
    response: IntArray
    pair: IntArray
    """The same of responses, shape (rows,): whose truth each pair would join, all responses to its image but those that
    name it by ignored mentions alone."""

    def __len__(self) -> int:
        return len(self.word)

    def declared(self, there: BoolArray) -> Events:
        """Return the events as they would be if some of the pairs, shape (pairs,), were there.

        What a guesser by prevalence does, and the areas, stay as they were.
        """
        responses, mentions = self.events.responses, self.events.mentions
        joined = np.bincount(self.response[there[self.pair]], minlength=len(responses))
        found = np.r_[there, False][self.of_mention]
        # Of the declared objects, those that the response has named before: a running count, less that at its start.
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
    """Return the hallucinated pairs of judged samples, in the order in which they are first met.

    `events` are those of the samples, where the caller has them already.
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
    """Return the shares, of each order and bound.

    None where nothing is hallucinated late, or the adjusted odds ratio itself cannot be fitted.
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
    """Looks for the share of some pairs, declared in their order, at which a bound of the log odds ratio is 0."""

    def __init__(self, fits: "_Fits", order: IntArray) -> None:
        self._fits, self._order = fits, order

    def share(self, bound: Bound) -> float | str:
        """Return the share, or why there is none. Bisection finds one crossing, should there be several."""
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
        """Return the log odds ratio or the lower end of its interval, minus infinity where nothing can be fitted."""
        fitted = self._fits(self._order[:declared])
        return -inf if fitted is None else fitted[BOUNDS.index(bound)]


class _Fits:
    """The adjusted odds ratio with some pairs declared to be there, fitted once for each choice of them."""

    def __init__(self, found: Candidates) -> None:
        self._found = found
        self._known: dict[bytes, tuple[float, float] | None] = {}

    def __call__(self, pairs: IntArray) -> tuple[float, float] | None:
        """Return its logarithm and the lower end of that one's interval; None where it cannot be fitted."""
        there = np.zeros(len(self._found), dtype=bool)
        there[pairs] = True
        key = there.tobytes()
        if key not in self._known:
            self._known[key] = self._fit(there)
        return self._known[key]

    def _fit(self, there: BoolArray) -> tuple[float, float] | None:
        try:
            fitted = adjusted_odds_ratio(self._found.declared(there))
        except NotEstimableError:
            return None
        return fitted.log_odds_ratio, log(fitted.low) if fitted.low > 0 else -inf


def _ignored_alone(sample: JudgedSample) -> set[str]:
    """Return the categories that a response names by ignored mentions alone; they are in no truth of it."""
    return {m.category for m in sample.judgement.mentions} - {m.category for m in counted_mentions(sample)}
