"""Answers to POPE's questions, checked: the policies read them again."""

from collections.abc import Mapping

from eidolon.benchmark.settings.fields import ALL, MAIN_POLICY
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.tasks.checking.checks import TaskFile
from eidolon.benchmark.tasks.checking.lines import check_order, check_row
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.reading_types import FamilyReading
from eidolon.benchmark.tasks.rows import ANSWERS, AnswerRow, parsed
from eidolon.benchmark.tasks.score_files.checks.answers import (
    AnswersChecks,
    Counted,
    dataset_part,
    family_of,
)
from eidolon.scorers.core.scores import Variant
from eidolon.scorers.core.types import Response
from eidolon.scorers.metrics.pope import Pope
from eidolon.scorers.text.yes_no import read_answer

FILES = (TaskFile(RESPONSES, Response), TaskFile(ANSWERS, AnswerRow))


class PopeChecks(AnswersChecks):
    """Yes/no answers under named policies."""

    family = "pope"

    def answers(self, run: CheckedRun) -> str:
        """Read the answers again under all policies."""
        responses = {r.sample_id: r for r in run.lines(RESPONSES, Response)}
        rows = run.lines(ANSWERS, AnswerRow)
        check_order([row.sample_id for row in rows], [*responses], ANSWERS)
        for row in rows:
            given = responses[row.sample_id]
            answer, logprobs = given.response or "", given.first_token_logprobs
            read = {name: parsed(read_answer(name, answer, logprobs)) for name in row.parsed}
            check_row(row, row.model_copy(update={"parsed": read}), ANSWERS)
        return f"{len(rows)} answers read again; whether the labels are true takes the questions"

    def variants(self, run: CheckedRun, reading: FamilyReading) -> tuple[Variant, ...] | None:
        """Return each policy's scores, computed again."""
        settings = run.settings
        found = []
        for variant in run.scores().variants:
            policy = str(variant.settings.get("policy"))
            read = FamilyReading(reading.scored, lambda _, name=policy: Pope(name))  # type: ignore[misc]
            family = family_of(read, settings.seed, settings.resamples)
            found.append(variant.model_copy(update={"metrics": {"pope": family}}))
        return tuple(found)

    def signature_parts(self, run: CheckedRun, counted: Counted) -> Mapping[str, str]:
        """Return questions and policy."""
        settings = run.settings.of_files
        main = MAIN_POLICY if settings.policy == ALL else settings.policy
        parts = {"prompt": "questions", "judge": "yes-no", "policy": f"pope(policy={main})"}
        return parts | dataset_part(run, "questions")
