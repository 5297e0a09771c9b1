"""Answers to published benchmarks, checked: the benchmark reads them again."""

from collections.abc import Mapping

from eidolon.benchmark.data.question_layouts import LAYOUTS
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.tasks.checking.checks import TaskFile
from eidolon.benchmark.tasks.checking.lines import check_order, check_row
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.rows import BENCHMARK_ANSWERS, BenchmarkRow
from eidolon.benchmark.tasks.score_files.checks.answers import AnswersChecks, Counted, dataset_part
from eidolon.scorers.core.types import Response
from eidolon.scorers.metrics.benchmarks.question import BenchmarkQuestion

FILES = (TaskFile(RESPONSES, Response), TaskFile(BENCHMARK_ANSWERS, BenchmarkRow))


class PublishedChecks(AnswersChecks):
    """Answers to the questions of one benchmark."""

    def __init__(self, name: str) -> None:
        self.family = name  # type: ignore[misc]

    def answers(self, run: CheckedRun) -> str:
        """Read the answers again, unless the released program's judge has."""
        layout = LAYOUTS[self.family]
        benchmark = layout.benchmark(run.settings.of_files.mode)
        responses = {r.sample_id: r for r in run.lines(RESPONSES, Response)}
        rows = run.lines(BENCHMARK_ANSWERS, BenchmarkRow)
        check_order([row.sample_id for row in rows], [*responses], BENCHMARK_ANSWERS)
        if (run.signature.judge or "").startswith("file("):
            return f"{len(rows)} answers; their verdicts are those of the answer file"
        for row in rows:
            given = responses[row.sample_id]
            question = BenchmarkQuestion(
                row.sample_id, row.image_id, given.prompt or "", row.truth, row.groups
            )
            answer = given.response or ""
            again = {"read": benchmark.read(question, answer), "exact": answer == row.truth}
            check_row(row, row.model_copy(update=again), BENCHMARK_ANSWERS)
        return f"{len(rows)} answers read again; whether the labels are true takes the questions"

    def signature_parts(self, run: CheckedRun, counted: Counted) -> Mapping[str, str]:
        """Return questions, judge and mode."""
        judge = run.signature.judge or "rule"
        policy = f"{self.family}({run.settings.of_files.mode})"
        return {"prompt": "questions", "judge": judge, "policy": policy} | dataset_part(run, "questions")
