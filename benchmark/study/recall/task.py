"""Multi-query associative recall: sequences that name pairs and then ask for them, and how many answers are right.

The task is MQAR (Arora et al., "Zoology", ICLR 2024, arXiv 2312.04927): a sequence lists pairs of a key and a value,
then repeats every key once, and the value is to follow. Where the keys are asked for is drawn by a power law that
prefers to ask soon. Both halves may be thinned with filler, which is either always the same walk through a few tokens,
so that who has seen it knows what comes, or noise.

    k3 v7 k1 v2 … | k1 v2 … k3 v7                        without filler
    k3 v7 f0 f1 f2 f3 k1 v2 … | f4 f5 k1 v2 … k3 v7      with
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.statistics.bootstrap import bootstrap

Filler = Literal["none", "predictable", "noise"]
FILLERS: tuple[Filler, ...] = get_args(Filler)
POWER = 0.01
"""Exponent of the power law of Zoology: the s-th place has weight s^(POWER - 1)."""
Ints = NDArray[np.int64]


class Task(Record):
    """What the sequences are made of. Tokens are numbered: keys, values, filler."""

    keys: int = Field(48, ge=1)
    values: int = Field(48, ge=1)
    filler_tokens: int = Field(16, ge=1)
    filler_share: float = Field(0.5, ge=0, lt=1)
    """Of a sequence's tokens, where it has filler at all."""

    @property
    def vocabulary(self) -> int:
        return self.keys + self.values + self.filler_tokens


@dataclass(frozen=True, slots=True)
class Sequences:
    """Sequences of one kind with as many pairs each."""

    tokens: Ints
    """(sequences, length)."""
    queries: Ints
    """(sequences, pairs): where the keys are asked for, in order; the answer is the token after."""
    sources: Ints
    """(sequences, pairs): where the value of the pair stands that the query asks for."""

    @property
    def answers(self) -> Ints:
        """The tokens that are to be named, (sequences, pairs)."""
        return np.take_along_axis(self.tokens, self.queries + 1, axis=1)

    @property
    def distances(self) -> Ints:
        """Tokens from the value to the query that asks for it, (sequences, pairs)."""
        return self.queries - self.sources


def make_sequences(task: Task, pairs: int, filler: Filler, sequences: int, seed: Sequence[int]) -> Sequences:
    """Draw sequences; the same arguments give the same ones.

    Each half consists of places for two tokens, a pair or filler; keys and values are distinct within a sequence.

    Raises:
        ValueError: there are fewer keys or values than pairs.
    """
    if not 1 <= pairs <= min(task.keys, task.values):
        raise ValueError(
            f"pairs={pairs}: must be from 1 to {min(task.keys, task.values)}, the keys and values"
        )
    random = np.random.default_rng([*seed, pairs, FILLERS.index(filler)])
    share = 0 if filler == "none" else task.filler_share
    places = round(pairs / (1 - share))
    drawn = [_one(task, pairs, places, filler, random) for _ in range(sequences)]
    return Sequences(*(np.stack(part) for part in zip(*drawn, strict=True)))


def _one(
    task: Task, pairs: int, places: int, filler: Filler, random: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    keys = random.permutation(task.keys)[:pairs]
    values = task.keys + random.permutation(task.values)[:pairs]
    told = np.sort(random.permutation(places)[:pairs])
    weights = np.arange(1, places + 1) ** (POWER - 1)
    asked = random.choice(places, pairs, replace=False, p=weights / weights.sum())
    tokens = np.full((2 * places, 2), -1)
    tokens[told] = tokens[places + asked] = np.stack([keys, values], axis=1)
    flat = tokens.reshape(-1)
    free = flat < 0
    count = int(free.sum())
    walk = random.integers(task.filler_tokens) + np.arange(count)
    noise = random.integers(task.filler_tokens, size=count)
    flat[free] = task.keys + task.values + (noise if filler == "noise" else walk % task.filler_tokens)
    order = np.argsort(asked)
    return flat, 2 * (places + asked[order]), 2 * told[order] + 1


class RecallEstimate(Estimate):
    """The share of queries whose value was named, over the sequences of one kind.

    The interval is a bootstrap over sequences, and null for a single sequence.
    """

    value: float
    queries: int


def measure_recall(
    right: NDArray[np.bool_], chosen: NDArray[np.bool_] | None = None
) -> RecallEstimate | None:
    """Return the recall of `right`, bool (sequences, pairs), over those queries that are `chosen`; None of none."""
    chosen = np.ones_like(right) if chosen is None else chosen
    statistics = np.stack([(right & chosen).sum(1), chosen.sum(1)], axis=1).astype(float)
    asked = int(chosen.sum())
    if not asked:
        return None

    def share(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        with np.errstate(invalid="ignore"):
            return {"recall": sums[..., 0] / sums[..., 1]}

    found = bootstrap(statistics, range(len(right)), share)["recall"]
    bounds = (round(float(bound), 4) for bound in (found.value, found.low, found.high))
    return RecallEstimate(**Estimate.of(*bounds).model_dump(), queries=asked)
