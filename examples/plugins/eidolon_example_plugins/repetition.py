"""A metric: how often a response names again what it has named before."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.metric import FloatArray, JudgedSample, Quantity, ratio


class Repetition:
    """Mentions of a category that the same response has named before / mentions."""

    family: str = "repetition"
    quantities: tuple[Quantity, ...] = (
        Quantity("repeated", False, (0, 1), "repeated mentions / mentions", "no response names an object"),
    )
    columns: tuple[str, ...] = ("mentions", "repeated_mentions")

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 2)."""
        named = [[mention.category for mention in sample.judgement.mentions] for sample in samples]
        counts = [(len(names), len(names) - len(set(names))) for names in named]
        return np.array(counts, dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 2) to the quantities, shape (...)."""
        return {"repeated": ratio(totals[..., 1], totals[..., 0])}
