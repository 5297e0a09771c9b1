"""CompreCap: how completely a caption covers an annotated scene graph (Lu et al., CVPR 2025)."""

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity
from eidolon.scorers.metrics.benchmarks.captions import CaptionMeans

TOP = 5
"""The best rating of a description or a relation."""
WEIGHTS = {"object_coverage": 0.25, "attribute_score": 0.35, "relation_score": 0.4}
"""Weights of the three in the unified score, each as a share of its best value (the released program)."""


class CompreCap(CaptionMeans):
    """Coverage of objects and of their pixels, ratings of attributes and relations, and their weighted mean."""

    family = "comprecap"
    names = ("object_coverage", "pixel_coverage", "attribute_score", "relation_score", "unread")
    quantities = (
        Quantity(
            "unified",
            True,
            (-0.15, 1),
            "0.25 object coverage + (0.35 attribute score + 0.4 relation score) / 5",
            "one of its parts is",
        ),
        Quantity(
            "object_coverage",
            True,
            (0, 1),
            "similarities of covered objects / objects, mean",
            "no caption is scored",
        ),
        Quantity(
            "pixel_coverage",
            True,
            (0, 1),
            "pixels weighted by rating / annotated pixels, mean",
            "there are no masks",
        ),
        Quantity(
            "attribute_score", True, (-1, TOP), "rating of an object's description, mean", "none is rated"
        ),
        Quantity("relation_score", True, (-1, TOP), "rating of a relation, mean", "none is rated"),
        Quantity("unread", False, (0, 1), "replies without a rating / replies, mean", "nothing was asked"),
    )
    leaderboard_columns = (
        LeaderboardColumn("unified", "CompreCap ↑"),
        LeaderboardColumn("object_coverage", "objects ↑"),
        LeaderboardColumn("attribute_score", "attributes ↑"),
        LeaderboardColumn("relation_score", "relations ↑"),
    )

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 10) to the quantities, shape (...)."""
        means = super().compute(totals)
        parts = [
            weight * means[name] / (1 if name == "object_coverage" else TOP)
            for name, weight in WEIGHTS.items()
        ]
        return {"unified": np.asarray(sum(parts), dtype=float), **means}
