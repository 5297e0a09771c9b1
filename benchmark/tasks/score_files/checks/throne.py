"""Votes of judges from files, checked: the threshold decides again."""

from collections.abc import Mapping, Sequence
from typing import Any

from eidolon.benchmark.store.files import JUDGEMENTS, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskFile
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.reading_types import FamilyReading
from eidolon.benchmark.tasks.score_files.checks.answers import AnswersChecks, Counted, dataset_part
from eidolon.scorers.core.types import Judgement
from eidolon.scorers.metrics.throne import Throne, cell_counts

FILES = (TaskFile(SAMPLES, SampleRow), TaskFile(JUDGEMENTS, Judgement))


class ThroneChecks(AnswersChecks):
    """The votes are in the judgements; the responses that they are about are not in the folder."""

    family = "throne"

    def verdicts_follow(self, run: CheckedRun) -> bool | None:
        """Return true: a present category is right or wrong by the truth."""
        return True

    def responses(self, run: CheckedRun) -> int:
        """Return how many judgements there are."""
        return len(run.lines(JUDGEMENTS, Judgement))

    def counts(self, reading: FamilyReading, samples: Sequence[Any]) -> dict[str, int | float]:
        """Return the counts of cells."""
        metric = reading.metric(samples)
        if not isinstance(metric, Throne):
            raise TypeError(f"{type(metric).__name__} does not count votes")
        return cell_counts(metric.cells(samples))

    def signature_parts(self, run: CheckedRun, counted: Counted) -> Mapping[str, str]:
        """Return annotations and threshold."""
        parts = dataset_part(run, "annotations")
        task = run.settings.inputs.task
        thresholds, voters = task.get("thresholds"), task.get("voters")
        if isinstance(thresholds, list) and thresholds:
            mode = run.settings.of_files.mode
            parts["policy"] = f"throne(mode={mode},threshold={thresholds[0]}of{voters})"
        return parts
