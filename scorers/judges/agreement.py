"""Agreement among the votes of an ensemble, overall and by position in the response."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.calibration import Calibration, JudgePair, JudgeVotes, PartVotes, PositionVotes
from eidolon.scorers.core.judge import Judge, VotingJudge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.votes import ignored_cells, undecided_of, votes_of

FIFTHS = 5
"""Parts of a response, equally long in characters, for which agreement is reported separately."""


def calibrate_judge(judge: VotingJudge, samples: Sequence[JudgedSample]) -> Calibration:
    """Return the agreement among a judge's votes. If its `reader` locates categories, agreement by position is
    included.

    Raises:
        ValueError: a sample has no votes.
    """
    votes = votes_of(judge, samples)
    voters = len(judge.judges) * len(judge.formats)
    ignored = ignored_cells(
        votes.sum(axis=(0, 1)),
        voters=voters,
        threshold=judge.threshold,
        undecided=undecided_of(judge, samples),
    )
    unreadable = sum(sample.judgement.unreadable for sample in samples)
    found = calibrate(votes, judge.judges, ignored, judge.threshold).model_copy(
        update={
            "formats": judge.formats,
            "unreadable": unreadable / votes.size if unreadable else None,
        }
    )
    reader = judge.reader()
    if reader is None:
        return found
    parts = first_parts([sample.response for sample in samples], reader, judge.vocabulary)
    positions = by_position(votes, judge.judges, ignored, parts, reader.signature())
    return found.model_copy(update={"by_position": positions})


def calibrate(
    votes: NDArray[np.bool_], judges: tuple[str, ...], ignored: NDArray[np.bool_], threshold: int
) -> Calibration:
    """Return the agreement among votes, shape (judges, formats, images, categories).

    `ignored`, shape (images, categories), tells on which cells the votes do not decide.
    """
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
    """Return the part of each response that first names each category, 0 to 4, or -1 if none does.

    The shape is (responses, categories). The part is the one that holds the first character of the first mention.
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
    """Return the agreement among votes, shape (judges, formats, responses, categories), for each part of the
    responses.

    `parts`, shape (responses, categories), is the result of `first_parts`.
    """
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

    κ = (P̄ - P_e)/(1 - P_e). P̄ is the mean share of agreeing pairs of votes on a cell, and P_e = p² + (1 - p)² with
    p the share of yes votes (Fleiss, Psychological Bulletin 1971). None if it is undefined: with fewer than two
    voters, without cells, or if all votes are the same.
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
