"""The task `answer`: the questions of a published benchmark, one answer to each, and the benchmark's own numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from eidolon.benchmark.data.prompts import QUESTION, find_question_prompt
from eidolon.benchmark.data.question_layouts import LAYOUTS
from eidolon.benchmark.data.readers.published import read_published
from eidolon.benchmark.data.samples import Sample, SampleSource
from eidolon.benchmark.engine.generation import PromptedSample
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.answer.checks import AnswerChecks
from eidolon.benchmark.tasks.answer.judge import JudgeMaker, RuleJudge, rating_judge
from eidolon.benchmark.tasks.answer.work import ANSWER_FILES, AnswerWork
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.protocol import JoinedShards, Questions, Run
from eidolon.benchmark.tasks.published_mode import published_mode
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.metrics.benchmarks.question import MODES, BenchmarkQuestion
from eidolon.scorers.text.answer import RAW

if TYPE_CHECKING:
    from rich.console import Console


class AnswerTask:
    """Ask the questions of a published benchmark, and score the answers as it does."""

    name: ClassVar[str] = "answer"
    verb: ClassVar[Literal["run"]] = "run"
    run_files: ClassVar[tuple[TaskFile, ...]] = ANSWER_FILES
    fields: ClassVar[tuple[str, ...]] = ("judge_options",)
    defaults: ClassVar[Mapping[str, Any]] = {"prompt": "question", "max_new_tokens": 128, "temperature": 0.0}
    """Answers are short and greedy."""

    def plan(self, given: Given[RunSettings]) -> Callable[[SampleSource], Questions]:
        """Find prompt, benchmark and mode; return what makes the questions of a dataset.

        Raises:
            UserError: one of them is unknown, or there is more than one answer to a question.
        """
        settings = given.settings
        base, _, where = settings.dataset.partition("/")
        if base not in LAYOUTS:
            raise UserError(
                f"--task answer: is for a published benchmark; give --dataset {', '.join(LAYOUTS)}, each with /PATH"
            )
        for key, value in settings.task_options.items():
            if key != "mode":
                raise UserError(f"-T {key}={value}: unknown option{did_you_mean(key, ['mode'])}")
        if (mode := published_mode(settings)) not in MODES:
            raise UserError(f"-T mode={mode}: unknown mode{did_you_mean(mode, MODES)}")
        if settings.generations > 1:
            raise UserError(f"--generations {settings.generations}: --task answer takes one; leave it out")
        prompt = find_question_prompt(settings.prompt)
        benchmark = LAYOUTS[base].benchmark(mode)
        make_judge = _judge_maker(base, settings)

        def ask(source: SampleSource) -> Questions:
            published = read_published(base, where, settings.dataset_options)
            asked = {one.sample_id: published.questions[one.sample_id] for one in source.samples}
            judge = make_judge(asked)
            return Questions(
                prompt=prompt,
                asked={
                    one.sample_id: PromptedSample(
                        one, prompt.text.replace(QUESTION, asked[one.sample_id].text), is_question=True
                    )
                    for one in source.samples
                },
                samples=tuple(map(_row, source.samples)),
                judge=judge,
                rules=RAW,
                policy=f"{base}({mode})",
                work=lambda run: AnswerWork(
                    run.name,
                    run.samples,
                    run.keys,
                    tuple(asked[sample_id] for sample_id, _ in run.keys),
                    benchmark,
                    run.signature,
                    settings.seed,
                    settings.resamples,
                    judge,
                ),
                metrics=(base,),
                inputs={"questions": published.sha256()},
                summary={
                    "questions": f"{len(asked)}, {published.left_out} without an image left out",
                    "mode": mode,
                    "metrics": [base],
                },
            )

        return ask

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return AnswerChecks()

    def joined(self, shards: JoinedShards) -> AnswerWork:
        """Return the work on the answers of several shards.

        What is true is in the files for the answers that are scored alone; for the others it is not needed.
        """
        settings = shards.config.run_settings()
        base = settings.dataset.partition("/")[0]
        read = {row.sample_id: row for row in shards.read}
        text = {row.question_id: row.text for row in shards.asked}
        questions = tuple(
            BenchmarkQuestion(row.sample_id, row.image_id, text[row.sample_id], "")
            if (known := read.get(row.sample_id)) is None
            else BenchmarkQuestion(
                row.sample_id, known.image_id, text[row.sample_id], known.truth, known.groups
            )
            for row in shards.samples
        )
        return AnswerWork(
            shards.name,
            shards.samples,
            shards.keys,
            questions,
            LAYOUTS[base].benchmark(published_mode(settings)),
            shards.signature,
            settings.seed,
            settings.resamples,
        )

    def show(self, runs: "Sequence[tuple[Run, Scores]]", console: "Console") -> None:
        """Print the quantities of the runs."""
        from eidolon.benchmark.tasks.score_files import table

        for run, scores in runs:
            table.show(scores, run.name, published_mode(run.config.run_settings()), console)


def _judge_maker(base: str, settings: RunSettings) -> JudgeMaker:
    """Return what makes the judge of the answers: the benchmark's rule, or the language model of `-J models`."""
    if LAYOUTS[base].rated:
        return rating_judge(f"--dataset {settings.dataset}", settings.judge_options)
    for key, value in settings.judge_options.items():
        raise UserError(f"-J {key}={value}: the answers to {base} are read by a rule; leave it out")
    return lambda questions: RuleJudge()


def _row(sample: Sample) -> SampleRow:
    return SampleRow(
        sample_id=sample.sample_id, image_id=sample.image_id, objects=(), image_sha256=sample.image_sha256
    )
