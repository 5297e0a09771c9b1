"""CAPTURE on DetailCaps: agreement of a caption's scene graph with those of references (Dong et al. 2024)."""

from eidolon.scorers.core.metric import LeaderboardColumn, Quantity
from eidolon.scorers.metrics.benchmarks.captions import CaptionMeans

KINDS = ("object", "attribute", "relation")
PARTS = ("precision", "recall", "f1")


class Capture(CaptionMeans):
    """The weighted mean of three F1 (objects 5, attributes 5, relations 2), and their parts, averaged over captions.

    With several references, a caption's values are the means over them.
    """

    family = "capture"
    names = ("capture", *(f"{kind}_{part}" for kind in KINDS for part in PARTS))
    quantities = (
        Quantity(
            "capture",
            True,
            (0, 1),
            "(5 object F1 + 5 attribute F1 + 2 relation F1) / 12, mean",
            "no caption is scored",
        ),
        *(
            Quantity(f"{kind}_{part}", True, (0, 1), f"{part} of {kind}s, mean", f"no graph names {kind}s")
            for kind in KINDS
            for part in PARTS
        ),
    )
    leaderboard_columns = (
        LeaderboardColumn("capture", "CAPTURE ↑"),
        *(LeaderboardColumn(f"{kind}_f1", f"{kind} F1 ↑") for kind in KINDS),
    )
