"""The work on the answers of a model to a published benchmark: judged, read, and compared with the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES, SAMPLES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.answer.judge import RuleJudge
from eidolon.benchmark.tasks.checking.checks import TaskFile
from eidolon.benchmark.tasks.describe.work import judge_responses, produce_responses
from eidolon.benchmark.tasks.protocol import Producer, Results, Shown, Text, sample_text
from eidolon.benchmark.tasks.rows import BENCHMARK_ANSWERS, BENCHMARK_QUESTIONS, AskedRow, BenchmarkRow
from eidolon.benchmark.tasks.score_files.published.task import row_of, score_answers
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import Quantity
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.metrics.benchmarks.question import BenchmarkQuestion, QuestionBenchmark, ReadAnswer
from eidolon.scorers.text.answer import RAW

ANSWER_FILES = (
    TaskFile(SAMPLES, SampleRow),
    TaskFile(RESPONSES, Response),
    TaskFile(JUDGEMENTS, Judgement),
    TaskFile(BENCHMARK_QUESTIONS, AskedRow),
    TaskFile(BENCHMARK_ANSWERS, BenchmarkRow),
)
"""The files of a run with answers to a benchmark, and the records of their lines."""


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
    judged_by: Judge = field(default_factory=RuleJudge)
    """Tells answers from failures, or rates the answers: then its replies are read in their place."""

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
        found = judge_responses(self.name, self.judged_by, RAW, folder, self.samples, self.keys, responses)
        write_atomically(folder.path / BENCHMARK_ANSWERS, to_lines(map(row_of, self._read(responses, found))))
        return found

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Score the answers that there are."""
        return score_answers(
            self._read(responses, judgements),
            self.benchmark,
            signature=self.signature.line(),
            seed=self.seed,
            resamples=self.resamples,
            requested=len(self.keys),
        )

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Return the answers for the page."""
        return Shown(results.scores, self.samples, results.responses, results.judgements)

    def _read(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> list[ReadAnswer]:
        return [
            read_answer(self.benchmark, question, text_read(response, judgement))
            for question, response, judgement in zip(self.questions, responses, judgements, strict=True)
            if judgement.unscored is None
        ]


def text_read(response: Response, judgement: Judgement) -> str:
    """Return the text that a benchmark reads: the answer, or the reply of the judge that rated it."""
    return (response.response or "") if judgement.reply is None else judgement.reply


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
