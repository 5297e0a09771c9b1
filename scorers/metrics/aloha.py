"""ALOHa: how alike the objects of a response and the true objects are (Petryk et al., 2024)."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.judge import Judge, gives_similarity
from eidolon.scorers.core.metric import FloatArray, JudgedSample, LeaderboardColumn, Quantity, ratio

_NONE = "no response names an object"
_NO_PAIR = "no object is paired"


class Aloha:
    """The smallest and the mean similarity of a response's objects to the true objects, averaged over responses.

    Objects and true objects are paired one to one, so that the sum of similarities is largest. `score` and `mean`
    follow the paper: an object without a pair has similarity 0. The `compat_` quantities leave such objects out, as
    the released program does. A response without objects has neither. A response with objects but without a pair has
    no `compat_` value.
    """

    family: str = "aloha"
    quantities: tuple[Quantity, ...] = (
        Quantity("score", True, (0, 1), "least similarity of a response's objects, mean", _NONE),
        Quantity("mean", True, (0, 1), "mean similarity of a response's objects, mean", _NONE),
        Quantity("compat_score", True, (0, 1), "as score, objects left over left out", _NO_PAIR),
        Quantity("compat_mean", True, (0, 1), "as mean, objects left over left out", _NO_PAIR),
    )
    columns: tuple[str, ...] = (
        "responses",
        "responses_with_objects",
        "responses_with_pairs",
        "least",
        "mean",
        "compat_least",
        "compat_mean",
    )
    row_by_row: bool = True
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (LeaderboardColumn("score", "ALOHa ↑"),)
    needs_references = True

    def check_judge(self, judge: Judge) -> str | None:
        """Return why the judge's mentions have no similarities, None if they have."""
        if gives_similarity(judge):
            return None
        return "needs similarities; give --judge nouns (or extract) with -J embeddings=MODEL"

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the values named by `columns`, shape (samples, 7).

        Raises:
            ValueError: a mention was never matched.
        """
        rows = []
        for sample in samples:
            pairs = similarities(sample)
            found = [similarity for similarity, _ in pairs]
            paired = [similarity for similarity, is_paired in pairs if is_paired]
            least, compat_least = min(found, default=0), min(paired, default=0)
            rows.append((1, bool(found), bool(paired), least, _mean(found), compat_least, _mean(paired)))
        return np.array(rows, dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 7) to the quantities, shape (...)."""
        _, with_objects, with_pairs, least, mean, compat_least, compat_mean = (
            totals[..., i] for i in range(len(self.columns))
        )
        return {
            "score": ratio(least, with_objects),
            "mean": ratio(mean, with_objects),
            "compat_score": ratio(compat_least, with_pairs),
            "compat_mean": ratio(compat_mean, with_pairs),
        }


def similarities(sample: JudgedSample) -> list[tuple[float, bool]]:
    """Return, for each distinct object of a response, its similarity and whether it is paired."""
    objects: dict[str, tuple[float, bool]] = {}
    for mention in sample.judgement.mentions:
        if mention.verdict == "ignored":
            continue
        if mention.similarity is None:
            raise ValueError(
                f"sample {sample.judgement.sample_id!r}: {mention.category!r} has no similarity; "
                "match it first"
            )
        objects[mention.category] = (mention.similarity, mention.match is not None)
    return list(objects.values())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
