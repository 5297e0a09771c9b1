"""Scored captions, checked: their means are computed again. What each caption has takes the input files."""

from collections.abc import Mapping

from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.tasks.checking.checks import TaskFile
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.rows import CAPTION_SCORES, CaptionRow
from eidolon.benchmark.tasks.score_files.checks.answers import AnswersChecks, Counted, dataset_part
from eidolon.scorers.core.types import Response

FILES = (TaskFile(RESPONSES, Response, required=False), TaskFile(CAPTION_SCORES, CaptionRow))


class CaptionChecks(AnswersChecks):
    """Captions of one benchmark."""

    def __init__(self, name: str) -> None:
        self.family = name  # type: ignore[misc]

    def responses(self, run: CheckedRun) -> int:
        """Return how many captions there are."""
        return len(run.lines(CAPTION_SCORES, CaptionRow))

    def signature_parts(self, run: CheckedRun, counted: Counted) -> Mapping[str, str]:
        """Return how captions were read, annotations and mode."""
        judge = run.signature.judge or "rule"
        policy = f"{self.family}({run.settings.of_files.mode})"
        return {"judge": judge, "policy": policy} | dataset_part(run, self.dataset(run))

    def dataset(self, run: CheckedRun) -> str:
        """Return the input file that the dataset's hash is of."""
        return "annotations" if "annotations" in run.settings.inputs.files else "answers"
