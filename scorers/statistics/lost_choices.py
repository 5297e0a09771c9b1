"""True items that a misreading hid: which were chosen, though something else was read in their place.

A judge that reads an absent item in place of a true one hides that the true one was chosen. It looks as if it were
still left, and what is chosen later looks too often wrong. Where each item was lost is not known. So each draw of
`known_choice` has a course of its own: at each wrong step either nothing is lost, or a true item that is never read.
Courses are drawn with their probability under a first fit, one step after the other, and weighted by what they should
have (importance sampling; Train 2009, 9.2.7).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray

NOTHING = -1
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class LostItems:
    """The courses of all draws. N steps of I images, D draws."""

    at: tuple[NDArray[np.intp], ...]
    """The image and the place of each step, (N,) and (N,), in their order."""
    item: NDArray[np.intp]
    """The item that is lost at a step, (N, D); `NOTHING` where none is."""
    log_drawn: FloatArray
    """Log-probability with which a course was drawn, (I, D)."""

    @property
    def there(self) -> NDArray[np.bool_]:
        """Where something is lost, (N, D)."""
        return np.asarray(self.item != NOTHING)

    def before(self, values: FloatArray) -> FloatArray:
        """Return the sum over the items lost before each step of its image of values of lost items, (N, D)."""
        image, place = self.at
        shape = len(self.log_drawn), int(place.max(initial=0)) + 2, values.shape[1]
        padded = np.zeros(shape)
        padded[image, place + 1] = np.where(self.there, values, 0)
        return np.cumsum(padded, axis=1, out=padded)[image, place]

    def of(self, values: FloatArray) -> FloatArray:
        """Return the values of the lost items, (N, D), from those of all items, (I, K, D) or (I, K, 1)."""
        draw = np.arange(values.shape[2])
        return np.asarray(values[self.at[0][:, None], np.maximum(self.item, 0), draw])


@dataclass(frozen=True, slots=True)
class StepOdds:
    """What the steps would choose if nothing were lost, under the parameters of a first fit."""

    weights: FloatArray
    """Odds of each item, (I, K, D) or (I, K, 1), on a scale of each image."""
    true: FloatArray
    """Sum over the true items that are left, (N, D) or (N, 1), on the same scale."""
    absent: FloatArray
    """Sum over the absent items that are left, as they are at the step, (N, D) or (N, 1)."""
    chosen: FloatArray
    """That of the absent item that is read, (N, D) or (N, 1)."""


def draw_lost(
    odds: StepOdds,
    *,
    at: tuple[NDArray[np.intp], ...],
    may_lose: NDArray[np.bool_],
    candidates: NDArray[np.bool_],
    in_place: FloatArray,
    beside: FloatArray,
    draws: int,
    seed: int,
) -> LostItems:
    """Return courses.

    `may_lose` (N,) are the wrong steps, and `candidates` (N, K) the true items that are left there and never read.
    `in_place` and `beside` (N, 1) are the probabilities of reading just this absent item where a true one is chosen:
    in its place, and beside it, where the step itself is no choice.
    """
    rng = np.random.default_rng([seed, 2])
    image, place = at
    weights = np.broadcast_to(odds.weights, (*odds.weights.shape[:2], draws))
    true, read, absent = (
        np.broadcast_to(one, (len(image), draws)) for one in (odds.true, odds.chosen, odds.absent)
    )
    item, log_drawn = np.full((len(image), draws), NOTHING), np.zeros((len(weights), draws))
    gone, taken = np.zeros((len(weights), draws)), np.zeros(weights.shape, dtype=bool)
    for step in range(int(place.max(initial=-1)) + 1):
        rows = np.flatnonzero((place == step) & may_lose & candidates.any(axis=1))
        if not len(rows):
            continue
        of = image[rows]
        each = np.where(candidates[rows][:, :, None] & ~taken[of], weights[of], 0)
        left = np.maximum(true[rows] - gone[of], each.sum(axis=1))
        lost = in_place[rows][:, None] * each
        kept = read[rows] + beside[rows] * (left + absent[rows])
        total = np.maximum(kept + lost.sum(axis=1), TINY)
        drawn = rng.random((len(rows), 1, draws)) * total[:, None]
        passed = (drawn >= np.cumsum(np.concatenate([kept[:, None], lost], axis=1), axis=1)).sum(axis=1)
        which = np.minimum(passed, each.shape[1]) - 1  # 0 passed: nothing is lost
        its, weight = (
            np.take_along_axis(one, np.maximum(which, 0)[:, None], axis=1)[:, 0]
            for one in (lost, weights[of])
        )
        some = (which >= 0) & (its > 0)
        item[rows] = np.where(some, which, NOTHING)
        log_drawn[of] += np.log(np.maximum(np.where(some, its, kept), TINY) / total)
        gone[of] += np.where(some, weight, 0)
        row, draw = np.nonzero(some)
        taken[of[row], which[row, draw], draw] = True
    return LostItems(at, item, log_drawn)
