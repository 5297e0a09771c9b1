"""How the answers to a published benchmark are read, as the settings of a run say."""

from eidolon.benchmark.data.question_layouts import LAYOUTS
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.scorers.metrics.benchmarks.question import COMPAT, FIXED


def published_mode(settings: RunSettings | ScoreSettings) -> str:
    """Return how the answers to a published benchmark were read."""
    if isinstance(settings, ScoreSettings):
        return settings.mode
    layout = LAYOUTS.get(settings.dataset.partition("/")[0])
    # Only a released program's own judge is read as that program reads it: a reply that is no rating is no 0.
    usual = FIXED if layout is not None and layout.rated else COMPAT
    return settings.task_options.get("mode", usual)
