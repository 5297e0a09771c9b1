"""Rated answers from files, checked: the ratings are read again from the judge's replies."""

from collections.abc import Mapping
from typing import ClassVar

from eidolon.benchmark.data.question_layouts import LAYOUTS
from eidolon.benchmark.tasks.answer.checks import compare_read, texts_read
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.score_files.checks.answers import AnswersChecks, Counted, dataset_part


class MmHalChecks(AnswersChecks):
    """Answers that a language model rated. It is not asked again."""

    family: ClassVar[str] = "mmhal"

    def answers(self, run: CheckedRun) -> str:
        """Read the ratings again."""
        return compare_read(run, LAYOUTS[self.family].benchmark(run.settings.of_files.mode), texts_read(run))

    def signature_parts(self, run: CheckedRun, counted: Counted) -> Mapping[str, str]:
        """Return questions, judge, mode and the number of answers, rated or not."""
        return {
            "prompt": "questions",
            "policy": f"{self.family}({run.settings.of_files.mode})",
            "n": str(counted.responses),
            **({"judge": run.settings.inputs.judge} if run.settings.inputs.judge else {}),
            **dataset_part(run, "questions"),
        }
