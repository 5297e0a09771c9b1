"""How far the voters of an ensemble agree with each other: read it before the scores that rest on them."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.types import Judge, Record, Response

FIFTHS = 5
"""Parts of a response, by characters, for which agreement is told apart."""


class JudgeVotes(Record):
    """How often one judge says yes: over all its votes, and with each question format in order."""

    model_config = ConfigDict(allow_inf_nan=False)

    yes_rate: float | None
    yes_rate_by_format: tuple[float | None, ...]


class JudgePair(Record):
    """The share of (image, category, format) votes on which two judges say the same."""

    judges: tuple[str, str]
    agreement: float | None


class PartVotes(Record):
    """The votes on the categories that a response names first in one part of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    cells: int
    """(response, category) pairs; everything below is over them, and null where there are none."""
    yes_rate: float | None
    yes_rate_by_judge: dict[str, float | None]
    pairwise_agreement: tuple[JudgePair, ...]
    fleiss_kappa: float | None
    ignored: float | None


class PositionVotes(Record):
    """The votes by where in the response a category is first named.

    Judges are known to trust early sentences more (arXiv 2511.20515, 2603.15253), and a judge that cuts the
    response cannot know what comes late: then the yes rate falls from part to part.
    """

    reader: str
    """The signature of the judge that says where."""
    parts: tuple[PartVotes, ...]
    """The fifths of the response, by characters."""


class Calibration(Record):
    """Agreement among the votes; fractions, null where there are no votes to take them from."""

    model_config = ConfigDict(allow_inf_nan=False)

    voters: int
    """Judges times question formats: the votes on each cell."""
    cells: int
    """(image, category) pairs voted on."""
    threshold: int
    """Votes that make a category present."""
    ignored: float | None
    """Share of cells on which the votes do not decide at that threshold."""
    judges: dict[str, JudgeVotes]
    yes_rate_by_format: tuple[float | None, ...]
    pairwise_agreement: tuple[JudgePair, ...]
    fleiss_kappa: float | None
    """Agreement of all votes beyond chance (Fleiss 1971); null with fewer than two voters, or where all
    votes are the same."""
    formats: tuple[str, ...] | None = None
    """The names of the formats, absent where they have none and are counted from 1."""
    by_position: PositionVotes | None = None
    """Absent where nobody says where the categories are named."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in fields.items()
            if value is not None or name not in ("formats", "by_position")
        }


def calibrate(
    votes: NDArray[np.bool_], judges: tuple[str, ...], ignored: NDArray[np.bool_], threshold: int
) -> Calibration:
    """Summarise votes of shape (judges, formats, images, categories), `ignored` (images, categories)."""
    judge_count, formats, images, categories = votes.shape
    yes = votes.sum(axis=(0, 1))
    return Calibration(
        voters=judge_count * formats,
        cells=images * categories,
        threshold=threshold,
        ignored=_mean(ignored),
        judges={
            name: JudgeVotes(yes_rate=_mean(votes[i]), yes_rate_by_format=tuple(_mean(v) for v in votes[i]))
            for i, name in enumerate(judges)
        },
        yes_rate_by_format=tuple(_mean(votes[:, m]) for m in range(formats)),
        pairwise_agreement=_pairs(votes, judges),
        fleiss_kappa=fleiss_kappa(yes.ravel(), judge_count * formats),
    )


def first_parts(responses: Sequence[Response], reader: Judge, vocabulary: Sequence[str]) -> NDArray[np.int64]:
    """Return the part of each response that first names each category, 0 to 4, and -1 where none does.

    Shape (responses, categories). The part is by the character at which the first mention begins.
    """
    position: Mapping[str, int] = {category: i for i, category in enumerate(vocabulary)}
    parts = np.full((len(responses), len(vocabulary)), -1, dtype=np.int64)
    for row, response, judgement in zip(parts, responses, reader.judge(responses), strict=True):
        length = len(response.response or "")
        for mention in judgement.mentions:
            column = position.get(mention.category)
            if column is not None:
                part = FIFTHS * mention.start // length
                row[column] = part if row[column] < 0 else min(part, row[column])
    return parts


def by_position(
    votes: NDArray[np.bool_],
    judges: tuple[str, ...],
    ignored: NDArray[np.bool_],
    parts: NDArray[np.int64],
    reader: str,
) -> PositionVotes:
    """Summarise votes of shape (judges, formats, responses, categories) by `parts` (responses, categories)."""
    voters = votes.shape[0] * votes.shape[1]
    found = []
    for part in range(FIFTHS):
        inside = parts == part
        chosen = votes[:, :, inside]
        found.append(
            PartVotes(
                cells=int(inside.sum()),
                yes_rate=_mean(chosen),
                yes_rate_by_judge={name: _mean(chosen[i]) for i, name in enumerate(judges)},
                pairwise_agreement=_pairs(chosen, judges),
                fleiss_kappa=fleiss_kappa(chosen.sum(axis=(0, 1)), voters),
                ignored=_mean(ignored[inside]),
            )
        )
    return PositionVotes(reader=reader, parts=tuple(found))


def _pairs(votes: NDArray[np.bool_], judges: tuple[str, ...]) -> tuple[JudgePair, ...]:
    return tuple(
        JudgePair(judges=(judges[a], judges[b]), agreement=_mean(votes[a] == votes[b]))
        for a, b in combinations(range(len(judges)), 2)
    )


def fleiss_kappa(yes: NDArray[np.int64], voters: int) -> float | None:
    """Return Fleiss' kappa of yes/no votes, from the number of yes votes on each cell.

    κ = (P̄ - P_e)/(1 - P_e): P̄ is the mean share of agreeing pairs of votes on a cell, and
    P_e = p² + (1 - p)² with p the share of yes votes (Fleiss, Psychological Bulletin 1971).
    None where it is undefined: fewer than two voters, no cells, or all votes the same.
    """
    if voters < 2 or not yes.size:
        return None
    no = voters - yes
    agreeing = float((yes * (yes - 1) + no * (no - 1)).mean()) / (voters * (voters - 1))
    share = float(yes.sum()) / (yes.size * voters)
    chance = share**2 + (1 - share) ** 2
    return None if chance == 1 else (agreeing - chance) / (1 - chance)


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None
