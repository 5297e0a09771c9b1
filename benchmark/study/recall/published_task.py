"""MQAR in its published form: sequences of pairs, then the same keys among filler.

The task of Zoology (Arora et al., ICLR 2024, arXiv 2312.04927, figure 2). The first 2·pairs tokens are keys, each
followed by its value. The rest are slots of two tokens: a queried key or filler, then
filler. Filler is token 0. Unlike in `task`, a value does not follow its queried key.

    k3 v7 k1 v2 | 0 0 k1 0 0 0 k3 0 0 0 …
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator

from eidolon.benchmark.study.recall.task import POWER, Ints
from eidolon.scorers.core.types import Record

FILLER = 0


class MqarTask(Record):
    """Sizes of the task. Tokens of the lower half of the vocabulary are keys, those of the upper half values."""

    length: int = Field(64, ge=4, multiple_of=2)
    """Tokens of a sequence."""
    pairs: int = Field(4, ge=1)
    vocabulary: int = Field(8192, ge=4, multiple_of=2)

    @model_validator(mode="after")
    def _fits(self) -> "MqarTask":
        if 4 * self.pairs > self.length:
            raise ValueError(f"{self.pairs} pairs need a length of {4 * self.pairs}, and it is {self.length}")
        if self.pairs >= self.vocabulary // 2:
            raise ValueError(f"{self.pairs} pairs need more keys than a vocabulary of {self.vocabulary} has")
        return self


@dataclass(frozen=True, slots=True)
class PublishedSequences:
    """Sequences with their queries, in the order of the sequence."""

    tokens: Ints
    """(sequences, length)."""
    queries: Ints
    """(sequences, pairs): positions of the queried keys, ascending."""
    answers: Ints
    """(sequences, pairs): the values of these keys."""


def make_published_sequences(task: MqarTask, sequences: int, seed: Sequence[int]) -> PublishedSequences:
    """Return random sequences. The same arguments give the same ones.

    A slot s ≥ 1 is chosen for a query with a probability proportional to s^(POWER - 1), without replacement.
    """
    random = np.random.default_rng([*seed, task.length, task.pairs])
    half = task.vocabulary // 2
    pairs, told = task.pairs, 2 * task.pairs
    keys = np.stack([1 + random.choice(half - 1, pairs, replace=False) for _ in range(sequences)])
    values = np.stack([half + random.choice(half, pairs, replace=False) for _ in range(sequences)])
    slots = (task.length - told) // 2
    # The slots of the largest log-weights plus Gumbel noise are a weighted sample without replacement.
    weights = (POWER - 1) * np.log(np.arange(1, slots + 1))
    asked = np.argsort(-(weights + random.gumbel(size=(sequences, slots))), axis=1)[:, :pairs]
    order = np.argsort(asked, axis=1)
    queries = told + 2 * np.take_along_axis(asked, order, axis=1)
    tokens = np.full((sequences, task.length), FILLER)
    tokens[:, 0:told:2], tokens[:, 1:told:2] = keys, values
    np.put_along_axis(tokens, queries, np.take_along_axis(keys, order, axis=1), axis=1)
    return PublishedSequences(tokens, queries, np.take_along_axis(values, order, axis=1))
