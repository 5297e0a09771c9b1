"""Multi-query associative recall: sequences of pairs and queries, and the share of right answers.

The task is MQAR (Arora et al., "Zoology", ICLR 2024, arXiv 2312.04927). A sequence lists pairs of a key and a value and
then repeats every key once; the model must continue each with its value. The positions of the queries are drawn by a
power law that prefers early ones. Both halves may contain filler. It is either a fixed walk through a few tokens, which
can be predicted, or noise.

    k3 v7 k1 v2 … | k1 v2 … k3 v7                        without filler
    k3 v7 f0 f1 f2 f3 k1 v2 … | f4 f5 k1 v2 … k3 v7      with
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import Share
from eidolon.scorers.core.types import Record
from eidolon.scorers.statistics.bootstrap import bootstrap

Filler = Literal["none", "predictable", "noise"]
FILLERS: tuple[Filler, ...] = get_args(Filler)
POWER = 0.01
"""Exponent of the power law of Zoology: the s-th place has weight s^(POWER - 1)."""
Ints = NDArray[np.int64]


class Task(Record):
    """The tokens of the sequences. Their ids are those of the keys, then the values, then the filler."""

    keys: int = Field(48, ge=1)
    values: int = Field(48, ge=1)
    filler_tokens: int = Field(16, ge=1)
    filler_share: float = Field(0.5, ge=0, lt=1)
    """Share of the tokens of a sequence with filler."""

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.keys + self.values + self.filler_tokens


class AskedSequences(Protocol):
    """Sequences with the places of their queries and the right answers."""

    @property
    def tokens(self) -> Ints:
        """(sequences, length)."""
        ...

    @property
    def queries(self) -> Ints:
        """(sequences, pairs): positions of the queried keys, ascending."""
        ...

    @property
    def answers(self) -> Ints:
        """(sequences, pairs): the right values."""
        ...


@dataclass(frozen=True, slots=True)
class Sequences:
    """Sequences of one kind, all with the same number of pairs."""

    tokens: Ints
    """(sequences, length)."""
    queries: Ints
    """(sequences, pairs): positions of the queried keys, ascending. The answer is the next token."""
    sources: Ints
    """(sequences, pairs): position of the value of each queried pair."""

    @property
    def answers(self) -> Ints:
        """The right tokens after the queries, (sequences, pairs)."""
        return np.take_along_axis(self.tokens, self.queries + 1, axis=1)

    @property
    def distances(self) -> Ints:
        """Number of tokens from each value to its query, (sequences, pairs)."""
        return self.queries - self.sources


def make_sequences(task: Task, pairs: int, filler: Filler, sequences: int, seed: Sequence[int]) -> Sequences:
    """Return random sequences. The same arguments give the same ones.

    Each half consists of slots of two tokens, which hold a pair or filler. Keys and values are distinct in a sequence.

    Raises:
        ValueError: there are more pairs than keys or values.
    """
    if not 1 <= pairs <= min(task.keys, task.values):
        raise ValueError(
            f"pairs={pairs}: must be from 1 to {min(task.keys, task.values)}, the number of keys and values"
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
    stated = np.sort(random.permutation(places)[:pairs])
    weights = np.arange(1, places + 1) ** (POWER - 1)
    asked = random.choice(places, pairs, replace=False, p=weights / weights.sum())
    tokens = np.full((2 * places, 2), -1)
    tokens[stated] = tokens[places + asked] = np.stack([keys, values], axis=1)
    flat = tokens.reshape(-1)
    free = flat < 0
    count = int(free.sum())
    walk = random.integers(task.filler_tokens) + np.arange(count)
    noise = random.integers(task.filler_tokens, size=count)
    flat[free] = task.keys + task.values + (noise if filler == "noise" else walk % task.filler_tokens)
    order = np.argsort(asked)
    return flat, 2 * (places + asked[order]), 2 * stated[order] + 1


class RecallEstimate(Estimate):
    """The share of queries with the right answer, over the sequences of one kind.

    The interval is a bootstrap over sequences, or exact with few right or wrong answers. It is null for a single
    sequence.
    """

    value: float
    queries: int


def measure_recall(
    right: NDArray[np.bool_], chosen: NDArray[np.bool_] | None = None
) -> RecallEstimate | None:
    """Return the share of `right`, bool (sequences, pairs), over the `chosen` queries; None without any."""
    chosen = np.ones_like(right) if chosen is None else chosen
    statistics = np.stack([(right & chosen).sum(1), chosen.sum(1)], axis=1).astype(float)
    asked = int(chosen.sum())
    if not asked:
        return None

    def share(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        with np.errstate(invalid="ignore"):
            return {"recall": sums[..., 0] / sums[..., 1]}

    def counted(sums: NDArray[np.float64]) -> dict[str, Share]:
        return {"recall": Share(sums[..., 0], sums[..., 1])}

    found = bootstrap(statistics, range(len(right)), share, shares=counted)["recall"]
    value, low, high = (round(float(bound), 4) for bound in (found.value, found.low, found.high))
    rounded = Estimate.of(value, low, high, found.estimate().method)
    return RecallEstimate(**rounded.model_dump(), queries=asked)
