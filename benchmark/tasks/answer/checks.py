"""Answers of a model to a published benchmark, computed again for `eidolon check`."""

from collections.abc import Mapping

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.question_layouts import LAYOUTS
from eidolon.benchmark.data.readers.published import read_published
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.answer.judge import RuleJudge
from eidolon.benchmark.tasks.answer.work import text_read
from eidolon.benchmark.tasks.checking.checks import NamedDataset, Options, Recomputed
from eidolon.benchmark.tasks.checking.lines import check_order, check_row
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedConfig, CheckedRun
from eidolon.benchmark.tasks.describe.checks import JudgedChecks
from eidolon.benchmark.tasks.describe.rejudging import recorded_judge
from eidolon.benchmark.tasks.published_mode import published_mode
from eidolon.benchmark.tasks.rows import BENCHMARK_ANSWERS, BenchmarkRow
from eidolon.benchmark.tasks.score_files.published.task import score_answers
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.metrics.benchmarks.question import (
    BenchmarkQuestion,
    QuestionBenchmark,
    ReadAnswer,
    check_mode,
)


class AnswerChecks(JudgedChecks):
    """Answers: read again by the benchmark's rule, and compared with the truth."""

    samples_are_images = False

    def check_settings(self, config: CheckedConfig) -> None:
        """Find the mode.

        Raises:
            UserError: it is unknown.
        """
        check_mode(published_mode(config.of_a_model))

    def make_judge(self, run: CheckedRun, options: Options | None) -> Judge:
        """Return the judge that tells answers from failures, or what is recorded of one that rated the answers."""
        return recorded_judge(run) if _is_rated(run) else RuleJudge()

    def judge(self, run: CheckedRun, options: Options | None) -> str:
        """Tell answers from failures again.

        Raises:
            UncheckableError: a language model rated the answers.
        """
        if _is_rated(run):
            raise UncheckableError(
                "a language model rated the answers; their ratings are read again from its replies"
            )
        return super().judge(run, options)

    def verdicts_follow(self, run: CheckedRun) -> bool | None:
        """Return true: an answer is right or wrong by its truth."""
        return True

    def answers(self, run: CheckedRun) -> str:
        """Read the answers again."""
        return compare_read(run, _benchmark(run), texts_read(run))

    def rescore(self, run: CheckedRun, options: Options | None) -> Recomputed:
        """Compute the scores from what was read in the answers again."""
        self.check_complete(run)
        benchmark = _benchmark(run)
        policy = f"{benchmark.family}({benchmark.mode})"
        signature = self.signature(run, self.make_judge(run, options), policy)
        read = [
            ReadAnswer(row.sample_id, row.image_id, row.truth, row.read, row.groups, row.exact)
            for row in run.lines(BENCHMARK_ANSWERS, BenchmarkRow)
        ]
        scores = score_answers(
            read,
            benchmark,
            signature=signature.line(),
            seed=run.settings.seed,
            resamples=run.settings.resamples,
            requested=len(self.keys(run)),
        )
        return Recomputed(scores, {}, signature.parts() | {"eidolon": run.version})

    def curves(self, run: CheckedRun, options: Options | None) -> str:
        """Return that there are none."""
        return "nothing was asked about forgetting"

    def truth(self, run: CheckedRun, given: NamedDataset | None) -> str:
        """Compare truths and pictures with the benchmark that the user has."""
        if given is None:
            raise UncheckableError("the questions are the benchmark's; name it here with --dataset, and -D")
        base, _, where = given.name.partition("/")
        if base != _benchmark(run).family:
            raise UserError(f"--dataset {given.name}: the run is of {_benchmark(run).family}")
        questions = read_published(base, where, given.options).questions
        source = load_dataset(given.name, limit=None, seed=0, options=given.options)
        pictures = {sample.sample_id: sample.image_sha256 for sample in source.samples}
        for row in run.lines(SAMPLES, SampleRow):
            if row.sample_id not in questions:
                raise DifferenceError(f"{SAMPLES}: {excerpt(row.sample_id)} is no question there")
            if row.image_sha256 != pictures[row.sample_id]:
                raise DifferenceError(f"{SAMPLES}: the picture of {excerpt(row.sample_id)} is another there")
        for answer in run.lines(BENCHMARK_ANSWERS, BenchmarkRow):
            question = questions[answer.sample_id]
            if (answer.truth, answer.groups) != (question.truth, dict(question.groups)):
                raise DifferenceError(
                    f"{BENCHMARK_ANSWERS}: the truth of {excerpt(answer.sample_id)} is another there"
                )
        return f"truths and pictures of {len(pictures)} questions compared"


def compare_read(run: CheckedRun, benchmark: QuestionBenchmark, given: Mapping[str, str]) -> str:
    """Read the texts again, and compare with what was read in them."""
    rows = run.lines(BENCHMARK_ANSWERS, BenchmarkRow)
    check_order([row.sample_id for row in rows], [*given], BENCHMARK_ANSWERS)
    for row in rows:
        text = given[row.sample_id]
        question = BenchmarkQuestion(row.sample_id, row.image_id, "", row.truth, row.groups)
        again = {"read": benchmark.read(question, text), "exact": text == row.truth}
        check_row(row, row.model_copy(update=again), BENCHMARK_ANSWERS)
    return f"{len(rows)} answers read again; whether the truths are right takes the questions"


def texts_read(run: CheckedRun) -> dict[str, str]:
    """Return by sample id the texts that the benchmark reads: answers, or replies of the judge that rated them."""
    pairs = zip(run.lines(RESPONSES, Response), run.lines(JUDGEMENTS, Judgement), strict=True)
    return {
        response.sample_id: text_read(response, judgement)
        for response, judgement in pairs
        if judgement.unscored is None
    }


def _is_rated(run: CheckedRun) -> bool:
    return LAYOUTS[_benchmark(run).family].rated


def _benchmark(run: CheckedRun) -> QuestionBenchmark:
    """Return the benchmark of a run, as its settings name it."""
    settings = run.settings.of_a_model
    base = settings.dataset.partition("/")[0]
    if base not in LAYOUTS:
        raise UncheckableError(f"{excerpt(settings.dataset)} is no published benchmark")
    return LAYOUTS[base].benchmark(published_mode(settings))
