"""The task `forget`: what is measured of a model's memory of the picture beside the descriptions it wrote.

The descriptions are judged and scored as in `describe`, with the metric `forgetting` among the others. Then the model
is put into texts of a set length and asked what it still knows: the retention probe.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from eidolon.benchmark.retention.design import Namer
from eidolon.benchmark.retention.detail import with_retention
from eidolon.benchmark.retention.stage import Interviewer, RetentionSettings, probe_retention
from eidolon.benchmark.run_folder import RunFolder, SampleRow, write_atomically
from eidolon.scorers.scores import Scores
from eidolon.scorers.types import Judge, Response

PLOT = "retention.png"


@dataclass(frozen=True, slots=True)
class Forget:
    """What is measured, and who reads which objects a text names."""

    retention: RetentionSettings
    namers: tuple[Judge, ...]
    """Readings of text; what one of them finds is named."""

    def namer(self) -> Namer:
        """Return what finds all categories that a text names."""

        def name(text: str) -> Collection[str]:
            response = Response(sample_id="text", image_id="text", response=text)
            return {
                m.category for judge in self.namers for one in judge.judge([response]) for m in one.mentions
            }

        return name


def measure_forgetting(
    forget: Forget,
    folder: RunFolder,
    name: str,
    rows: Sequence[SampleRow],
    responses: Sequence[Response],
    scores: Scores,
    interviewer: Interviewer,
) -> tuple[Scores, list[bytes]]:
    """Measure what the folder lacks; return the scores with it and the plots, which lie in the folder too."""
    from eidolon.benchmark.retention.plot import draw_retention

    detail = probe_retention(
        forget.retention, folder, name, rows, responses, scores.signature, interviewer, forget.namer
    )
    plot = draw_retention(detail, name)
    write_atomically(folder.path / PLOT, plot)
    return with_retention(scores, detail.points), [plot]
