"""Published question benchmarks from files: the questions in their published layout, and one answer to each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from eidolon.benchmark.data.question_layouts import LAYOUTS, Layout, Questions
from eidolon.benchmark.settings.config import Inputs
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.tasks.rows import BENCHMARK_ANSWERS, BenchmarkRow
from eidolon.benchmark.tasks.score_files.inputs import check_fields, content_hashes, one_answer_file, one_path
from eidolon.benchmark.tasks.score_files.published.answers import FIELDS, GivenAnswers, read_answers
from eidolon.benchmark.tasks.score_files.published.checks import FILES, PublishedChecks
from eidolon.benchmark.tasks.score_files.work import AnswersTask, AnswersWork, answers_run
from eidolon.scorers.core.input_files import read_bytes
from eidolon.scorers.core.scores import Family, Scores
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import Response
from eidolon.scorers.metrics.benchmarks.question import COMPAT, QuestionBenchmark, ReadAnswer
from eidolon.scorers.metrics.scoring import assemble, named_counts, values_of
from eidolon.scorers.statistics.bootstrap import column_sums


class PublishedTask(AnswersTask):
    """Base of the tasks that score answers to one benchmark."""

    name: ClassVar[str]
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = FILES
    fields: ClassVar[tuple[str, ...]] = ("questions", "answers", "mode", "fields")
    needs: ClassVar[tuple[str, ...]] = ("questions", "answers")

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs: every question has exactly one answer.

        Raises:
            UserError: a setting or a file is wrong.
        """
        settings, layout = given.settings, LAYOUTS[self.name]
        benchmark = layout.benchmark(settings.mode)
        path, answer_path = one_path(settings.questions), one_answer_file(settings)
        check_fields(settings.fields, FIELDS)
        question_bytes, questions = layout.read(path)
        answer_bytes = read_bytes(answer_path)
        answers = read_answers(answer_bytes, answer_path, layout, questions, settings.fields)
        read = read_all(benchmark, questions, answers)
        signature = Signature(
            dataset=hashed(path.stem, question_bytes),
            prompt="questions",
            judge=judge_name(layout, benchmark.mode, judged=bool(answers.verdicts)),
            policy=f"{self.name}({benchmark.mode})",
            n=len(read),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        return answers_run(
            self.name,
            settings,
            out,
            inputs=Inputs(
                files=content_hashes(questions=question_bytes, answers=answer_bytes),
                notes=answers.notes,
            ),
            signature=signature,
            sample_ids=list(questions),
            work=AnswersWork(
                files={
                    RESPONSES: lambda: to_lines(_responses(questions, answers)),
                    BENCHMARK_ANSWERS: lambda: to_lines(map(row_of, read)),
                },
                compute=lambda: score_answers(
                    read,
                    benchmark,
                    signature=signature.line(),
                    seed=settings.seed,
                    resamples=settings.resamples,
                ),
                main=benchmark.mode,
            ),
        )

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return PublishedChecks(self.name)


class RePopeTask(PublishedTask):
    """RePOPE from files: POPE's questions with corrected labels, and one answer to each."""

    name: ClassVar[str] = "repope"


class DashBTask(PublishedTask):
    """DASH-B from files: images that make models see an object, and one answer to each."""

    name: ClassVar[str] = "dash_b"


class HallusionBenchTask(PublishedTask):
    """HallusionBench from files: questions about figures and altered figures, and one answer to each."""

    name: ClassVar[str] = "hallusionbench"


class HumbleBenchTask(PublishedTask):
    """HumbleBench from files: multiple choice with "none of the above", and one answer to each question."""

    name: ClassVar[str] = "humblebench"


def judge_name(layout: Layout, mode: str, *, judged: bool) -> str:
    """Return who says what an answer says: the released program's judge, or a rule."""
    return f"file({layout.verdict})" if judged and mode == COMPAT else "rule"


def read_all(benchmark: QuestionBenchmark, questions: Questions, answers: GivenAnswers) -> list[ReadAnswer]:
    """Return what was read in every answer, in the order of the questions."""
    verdicts = answers.verdicts if benchmark.mode == COMPAT else {}
    return [
        ReadAnswer(
            number,
            question.cluster,
            question.truth,
            verdicts.get(number) or benchmark.read(question, answers.texts[number]),
            question.groups,
            answers.texts[number] == question.truth,
        )
        for number, question in questions.items()
    ]


def score_answers(
    read: Sequence[ReadAnswer],
    benchmark: QuestionBenchmark,
    *,
    signature: str,
    seed: int,
    resamples: int,
    requested: int | None = None,
) -> Scores:
    """Return the scores, with intervals over clusters; `requested` counts the questions, answered or not."""
    clusters = [answer.cluster for answer in read]
    statistics = benchmark.statistics(read)
    values: Mapping[str, Any] = values_of(benchmark, statistics, clusters, seed=seed, resamples=resamples)
    return assemble(
        {benchmark.family: Family(**values)},
        clusters,
        signature=signature,
        counts={benchmark.family: named_counts(benchmark.columns, column_sums(statistics))},
        unscored=0 if requested is None else requested - len(read),
        requested=requested,
        seed=seed,
        resamples=resamples,
    )


def row_of(answer: ReadAnswer) -> BenchmarkRow:
    """Return the line of a read answer."""
    return BenchmarkRow(
        sample_id=answer.question_id,
        image_id=answer.cluster,
        truth=answer.truth,
        read=answer.read,
        exact=answer.exact,
        groups=dict(answer.groups),
    )


def _responses(questions: Questions, answers: GivenAnswers) -> list[Response]:
    return [
        Response(
            sample_id=number,
            image_id=question.cluster,
            response=answers.texts[number],
            prompt=question.text,
        )
        for number, question in questions.items()
    ]
