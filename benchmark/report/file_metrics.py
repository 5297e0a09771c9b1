"""The metrics that score files of their own: the leaderboard takes their columns from here."""

from eidolon.scorers.metrics.amber import AmberRates
from eidolon.scorers.metrics.benchmarks.capture import Capture
from eidolon.scorers.metrics.benchmarks.comprecap import CompreCap
from eidolon.scorers.metrics.benchmarks.dash_b import DashB
from eidolon.scorers.metrics.benchmarks.hallusionbench import HallusionBench
from eidolon.scorers.metrics.benchmarks.humblebench import HumbleBench
from eidolon.scorers.metrics.benchmarks.mmhal import MmHal
from eidolon.scorers.metrics.benchmarks.repope import RePope
from eidolon.scorers.metrics.detection import Detection
from eidolon.scorers.metrics.pope import Pope

FILE_METRICS: dict[str, type] = {
    kind.family: kind
    for kind in (
        AmberRates,
        Capture,
        CompreCap,
        Detection,
        Pope,
        DashB,
        HallusionBench,
        HumbleBench,
        MmHal,
        RePope,
    )
}
"""Metrics that score files of their own. They are not in the registry."""
