"""The records of visual prompt dependency: a response, and how much each of its tokens depends on the image."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.types import ImageId, Record, Verdict
from eidolon.scorers.forgetting.token_kinds import KINDS

if TYPE_CHECKING:  # a record is read without numpy
    from eidolon.scorers.forgetting.fading import TokenSeries

DIGITS = 6
"""Significant digits of every number. Single precision has hardly more, and the file has half the size."""
OPTIONAL = ("beside", "signal", "left_out", "transient")
"""Fields that are absent from the file if they are empty."""
LETTERS = {kind: kind[0] for kind in KINDS}


class Dependence(Record):
    """A line of `pdm.jsonl`: one response, token by token. Everything in `pdm.json` is computed from these lines."""

    model_config = ConfigDict(allow_inf_nan=False)

    sample_id: str
    generation: int
    image_id: ImageId
    hellinger: tuple[float, ...] = ()
    """PDM-H of each token, 0 to 1."""
    difference: tuple[float, ...] = ()
    """For each token, the root mean square over the vocabulary of the centred difference l_c - l_u, in nats."""
    beside: tuple[float, ...] = ()
    """PDM-H of each token against the second form without the image. Absent from the file without one."""
    signal: tuple[float | None, ...] = ()
    """For each token, what the image changes, in nats²: the mean over plausible tokens of the product of the centred
    differences to both forms; null where only one token is plausible. Absent from the file without a second form."""
    kinds: str = ""
    """A letter for each token: o (begins the name of an object), c (begins other content), f (function), r (rest)."""
    verdicts: dict[int, Verdict] = Field(default_factory=dict)
    """Verdicts of the tokens that begin a mention, by token index from 0."""
    left_out: str | None = None
    """Why nothing was measured. Absent from the file if something was."""
    transient: bool = False
    """The reason is temporary, so that a resumed run measures the response again. Absent from the file if false."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if name not in OPTIONAL or value}

    @classmethod
    def of(cls, sample_id: str, generation: int, series: "TokenSeries") -> "Dependence":
        """Return the line of a measured response."""
        return cls(
            sample_id=sample_id,
            generation=generation,
            image_id=series.image_id,
            hellinger=_rounded(series.hellinger),
            difference=_rounded(series.difference),
            beside=() if series.beside is None else _rounded(series.beside),
            signal=() if series.signal is None else _known(series.signal),
            kinds="".join(LETTERS[kind] for kind in series.kinds),
            verdicts={at: verdict for at, verdict in enumerate(series.verdicts) if verdict is not None},
        )

    def series(self) -> "TokenSeries":
        """Return the measurements, with the digits that the line has.

        Raises:
            ValueError: the line does not have one number and one known kind for each token.
        """
        import numpy as np

        from eidolon.scorers.forgetting.fading import TokenSeries

        tokens = len(self.hellinger)
        kinds = {letter: kind for kind, letter in LETTERS.items()}
        second = {len(self.beside), len(self.signal)}
        if (
            not len(self.difference) == len(self.kinds) == tokens
            or second not in ({0}, {tokens})
            or any(not 0 <= at < tokens for at in self.verdicts)
        ):
            raise ValueError(
                f"sample {self.sample_id!r}: does not have every number for each of {tokens} tokens"
            )
        if unknown := set(self.kinds) - {*kinds}:
            raise ValueError(f"sample {self.sample_id!r}: unknown kind of token {min(unknown)!r}")
        return TokenSeries(
            image_id=self.image_id,
            hellinger=np.array(self.hellinger, dtype=float),
            difference=np.array(self.difference, dtype=float),
            kinds=tuple(kinds[letter] for letter in self.kinds),
            verdicts=tuple(self.verdicts.get(at) for at in range(tokens)),
            beside=np.array(self.beside, dtype=float) if self.beside else None,
            signal=np.array(self.signal, dtype=float) if self.signal else None,
        )


def _rounded(numbers: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{number:.{DIGITS}g}") for number in numbers)


def _known(numbers: Iterable[float]) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(number) else float(f"{number:.{DIGITS}g}") for number in numbers)
