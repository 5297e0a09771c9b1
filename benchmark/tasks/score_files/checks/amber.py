"""Answers to AMBER's questions, checked: the mode reads them again."""

from collections.abc import Mapping
from typing import Literal

from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.tasks.checking.checks import TaskFile
from eidolon.benchmark.tasks.checking.lines import check_row
from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.rows import ANSWERS, FREE_FORM, AnswerRow, FreeFormRow, parsed
from eidolon.benchmark.tasks.score_files.checks.answers import AnswersChecks, Counted, dataset_part
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.types import Response
from eidolon.scorers.metrics.amber import DIMENSIONS
from eidolon.scorers.text.yes_no import strict

FILES = (
    TaskFile(RESPONSES, Response),
    TaskFile(ANSWERS, AnswerRow, required=False),
    TaskFile(FREE_FORM, FreeFormRow, required=False),
)


class AmberChecks(AnswersChecks):
    """Closed questions and descriptions; what a description names needs AMBER's word lists."""

    family = "amber"

    def answers(self, run: CheckedRun) -> str:
        """Read the answers to closed questions again."""
        responses = {r.sample_id: r for r in run.lines(RESPONSES, Response)}
        rows = run.lines(ANSWERS, AnswerRow) if run.has(ANSWERS) else []
        free = run.lines(FREE_FORM, FreeFormRow) if run.has(FREE_FORM) else []
        ids = [*(row.sample_id for row in rows), *(row.sample_id for row in free)]
        if sorted(ids) != sorted(responses):
            raise DifferenceError(f"{ANSWERS} and {FREE_FORM} do not hold the responses, each once")
        for row in rows:
            if row.dimension not in DIMENSIONS:
                raise DifferenceError(f"{ANSWERS}: unknown dimension {excerpt(row.dimension)}")
            answer = responses[row.sample_id].response or ""
            exact = {"Yes": True, "No": False}.get(answer)
            read = {mode: parsed(exact if mode == "compat" else strict(answer)) for mode in row.parsed}
            check_row(row, row.model_copy(update={"parsed": read}), ANSWERS)
        more = f"; {len(free)} descriptions take AMBER's word lists" if free else ""
        return f"{len(rows)} answers read again{more}"

    def intervals_over(self, run: CheckedRun) -> Literal["images", "items"]:
        """Return `images` where the run was given the image of each item."""
        return "images" if "questions" in run.settings.inputs.files else "items"

    def signature_parts(self, run: CheckedRun, counted: Counted) -> Mapping[str, str]:
        """Return the annotations."""
        return dataset_part(run, "annotations")
