"""What metrics have to tell beside `scores.json`: a file of each, and its plot."""

from collections.abc import Sequence
from pathlib import Path

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.scorers.core.metric import DetailedMetric, JudgedSample, Metric
from eidolon.scorers.core.scores import Scores


def write_details(
    path: Path, name: str, metrics: Sequence[Metric], samples: Sequence[JudgedSample], scores: Scores
) -> list[bytes]:
    """Write `<family>.json`, and `<family>.png` where it is drawn; return the plots, for the report."""
    plots: list[bytes] = []
    if not samples or scores.intervals is None:
        return plots
    for metric in metrics:
        if not isinstance(metric, DetailedMetric):
            continue
        detail = metric.detail(
            samples,
            signature=scores.signature,
            seed=scores.intervals.seed,
            resamples=scores.intervals.resamples,
        )
        write_atomically(path / f"{metric.family}.json", detail.to_json())
        # What fits forgetting takes long to import, and most runs of `score` have none of it.
        from eidolon.scorers.forgetting.detail import ForgettingDetail

        if isinstance(detail, ForgettingDetail) and detail.curves:
            from eidolon.benchmark.tasks.describe.forgetting_plot import draw_forgetting

            plots.append(draw_forgetting(detail, name))
            write_atomically(path / f"{metric.family}.png", plots[-1])
    return plots
