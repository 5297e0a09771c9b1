"""The task `answer`: the questions of a published benchmark, one answer to each, and the benchmark's own numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from eidolon.benchmark.data.prompts import QUESTION, find_question_prompt
from eidolon.benchmark.data.question_layouts import LAYOUTS
from eidolon.benchmark.data.readers.published import read_published
from eidolon.benchmark.data.samples import Sample, SampleSource
from eidolon.benchmark.engine.generation import PromptedSample
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES, SAMPLES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.answer.checks import AnswerChecks
from eidolon.benchmark.tasks.answer.judge import RuleJudge
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.describe.work import judge_responses, produce_responses
from eidolon.benchmark.tasks.protocol import Producer, Questions, Results, Run, Shown, Text, sample_text
from eidolon.benchmark.tasks.readings import published_mode
from eidolon.benchmark.tasks.rows import BENCHMARK_ANSWERS, BENCHMARK_QUESTIONS, AskedRow, BenchmarkRow
from eidolon.benchmark.tasks.score_files.published.task import row_of, score_answers
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.metric import Quantity
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.metrics.benchmarks.question import (
    MODES,
    BenchmarkQuestion,
    QuestionBenchmark,
    ReadAnswer,
)
from eidolon.scorers.text.answer import RAW

if TYPE_CHECKING:
    from rich.console import Console


class AnswerTask:
    """Ask the questions of a published benchmark, and score the answers as it does."""

    name: ClassVar[str] = "answer"
    verb: ClassVar[Literal["run"]] = "run"
    run_files: ClassVar[tuple[TaskFile, ...]] = (
        TaskFile(SAMPLES, SampleRow),
        TaskFile(RESPONSES, Response),
        TaskFile(JUDGEMENTS, Judgement),
        TaskFile(BENCHMARK_QUESTIONS, AskedRow),
        TaskFile(BENCHMARK_ANSWERS, BenchmarkRow),
    )
    fields: ClassVar[tuple[str, ...]] = ()
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

        def ask(source: SampleSource) -> Questions:
            published = read_published(base, where, settings.dataset_options)
            asked = {one.sample_id: published.questions[one.sample_id] for one in source.samples}
            return Questions(
                prompt=prompt,
                asked={
                    one.sample_id: PromptedSample(
                        one, prompt.text.replace(QUESTION, asked[one.sample_id].text), is_question=True
                    )
                    for one in source.samples
                },
                samples=tuple(map(_row, source.samples)),
                judge=RuleJudge(),
                rules=RAW,
                policy=f"{base}({mode})",
                work=lambda run: AnswerWork(
                    run.name,
                    run.samples,
                    run.keys,
                    tuple(asked.values()),
                    benchmark,
                    run.signature,
                    settings.seed,
                    settings.resamples,
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

    def show(self, runs: "Sequence[tuple[Run, Scores]]", console: "Console") -> None:
        """Print the quantities of the runs."""
        from eidolon.benchmark.tasks.score_files import table

        for run, scores in runs:
            table.show(scores, run.name, published_mode(run.config.run_settings()), console)


@dataclass(frozen=True, slots=True)
class AnswerWork:
    """Answers to the questions of a benchmark: read by its rule, and compared with the truth."""

    name: str
    samples: tuple[SampleRow, ...]
    keys: tuple[Key, ...]
    questions: tuple[BenchmarkQuestion, ...]
    """In the order of `keys`."""
    benchmark: QuestionBenchmark
    signature: Signature
    seed: int
    resamples: int

    def rows(self) -> Mapping[str, Text]:
        """Return the text of `samples.jsonl` and of `benchmark_questions.jsonl`."""
        asked = [AskedRow(question_id=one.question_id, text=one.text) for one in self.questions]
        return {SAMPLES: sample_text(self.samples), BENCHMARK_QUESTIONS: lambda: to_lines(asked)}

    def quantities(self) -> Mapping[str, Sequence[Quantity]]:
        """Return the quantities of the benchmark."""
        return {self.benchmark.family: self.benchmark.quantities}

    def produce(self, folder: RunFolder, producer: Producer) -> Sequence[Response]:
        """Have the missing answers produced, and return all."""
        return produce_responses(folder, self.keys, producer)

    def judge(self, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
        """Read the answers into `benchmark_answers.jsonl`; the judgements say which are missing."""
        found = judge_responses(self.name, RuleJudge(), RAW, folder, self.samples, self.keys, responses)
        write_atomically(folder.path / BENCHMARK_ANSWERS, to_lines(map(row_of, self._read(responses))))
        return found

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Score the answers that there are."""
        return score_answers(
            self._read(responses),
            self.benchmark,
            signature=self.signature.line(),
            seed=self.seed,
            resamples=self.resamples,
            requested=len(self.keys),
        )

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Return the answers for the page."""
        return Shown(results.scores, self.samples, results.responses, results.judgements)

    def _read(self, responses: Sequence[Response]) -> list[ReadAnswer]:
        return [
            read_answer(self.benchmark, question, response.response)
            for question, response in zip(self.questions, responses, strict=True)
            if response.response is not None
        ]


def read_answer(benchmark: QuestionBenchmark, question: BenchmarkQuestion, answer: str) -> ReadAnswer:
    """Return what the benchmark reads in an answer to a question."""
    return ReadAnswer(
        question.question_id,
        question.cluster,
        question.truth,
        benchmark.read(question, answer),
        question.groups,
        answer == question.truth,
    )


def _row(sample: Sample) -> SampleRow:
    return SampleRow(
        sample_id=sample.sample_id, image_id=sample.image_id, objects=(), image_sha256=sample.image_sha256
    )
