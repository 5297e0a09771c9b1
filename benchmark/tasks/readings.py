"""A finished run, read back to the samples that its scores were computed from.

The metric that scored the run takes the samples again, from the files of the folder, and its values are compared
with those in `scores.json`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from eidolon.benchmark.settings.config import settings_of
from eidolon.benchmark.settings.fields import ALL, MAIN_POLICY
from eidolon.benchmark.settings.thresholds import share_threshold
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES, SAMPLES, SCORES
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.store.record import RunRecord, SampleRow
from eidolon.benchmark.tasks.plugins import needs_judge
from eidolon.benchmark.tasks.published_mode import published_mode
from eidolon.benchmark.tasks.reading_types import CategorySplit, FamilyReading, Key, ScoredSample
from eidolon.benchmark.tasks.rows import (
    ANSWERS,
    BENCHMARK_ANSWERS,
    CAPTION_SCORES,
    FREE_FORM,
    WORDS,
    AnswerRow,
    BenchmarkRow,
    CaptionRow,
    FreeFormRow,
    WordRow,
)
from eidolon.scorers.core import registry
from eidolon.scorers.core.edits import as_judged
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.metric import CategoryMetric, FittedMetric, FloatArray, JudgedSample
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.votes import undecided_votes
from eidolon.scorers.metrics.amber import AmberRates
from eidolon.scorers.metrics.benchmarks.captions import CaptionMeans, CaptionSample
from eidolon.scorers.metrics.benchmarks.capture import Capture
from eidolon.scorers.metrics.benchmarks.comprecap import CompreCap
from eidolon.scorers.metrics.benchmarks.dash_b import DashB
from eidolon.scorers.metrics.benchmarks.hallusionbench import HallusionBench
from eidolon.scorers.metrics.benchmarks.humblebench import HumbleBench
from eidolon.scorers.metrics.benchmarks.mmhal import MmHal
from eidolon.scorers.metrics.benchmarks.question import QuestionBenchmark, ReadAnswer
from eidolon.scorers.metrics.benchmarks.repope import RePope
from eidolon.scorers.metrics.detection import Detection, WordScores
from eidolon.scorers.metrics.flag_position import NAMES as POSITION_NAMES
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.metrics.throne import MODES, Throne, VotedImage
from eidolon.scorers.statistics.bootstrap import column_sums

AGREEMENT = 1e-9
"""Largest difference between a value recomputed from the files and the one in `scores.json`: rounding."""


@dataclass(frozen=True, slots=True)
class FamiliesRead:
    """The metric families of a run, read back."""

    run: LoadedRun
    scores: Scores
    families: dict[str, FamilyReading]
    unread: dict[str, str]
    """Families that cannot be read back, with the reason."""
    responses: frozenset[Key]
    """All responses of the run, scored or not."""

    @property
    def path(self) -> Path:
        """The run."""
        return self.run.path

    @property
    def record(self) -> RunRecord:
        """The content of `run.json`."""
        return self.run.record

    @property
    def signature(self) -> Signature:
        """How the scores were computed."""
        return self.run.signature


def read_families(run: LoadedRun) -> FamiliesRead:
    """Read the metric families of a run back.

    Raises:
        UserError: the run is not finished, or its files have changed since they were scored.
    """
    scores = run.scores()
    families: dict[str, FamilyReading] = {}
    unread: dict[str, str] = {}
    for family in scores.metrics:
        reader = READERS.get(family)
        if reader is None and family not in registry.metrics.names():
            unread[family] = "no metric of this name is installed"
            continue
        if reader is None and needs_judge(registry.metrics.get(family)):
            unread[family] = "its metric is made for a judge, which a folder does not hold"
            continue
        reader = reader or partial(_judged, family=family)
        try:
            families[family] = reader(run)
        except KeyError as error:
            raise UserError(
                f"{run.path}: its files do not belong together: {error} is in one and not in another; "
                "score the responses again"
            ) from error
        _check(run, family, families[family])
    return FamiliesRead(run, scores, families, unread, _keys(run))


def _keys(run: LoadedRun) -> frozenset[Key]:
    """Return all responses of the run."""
    if run.has(RESPONSES):
        return frozenset((r.sample_id, r.generation) for r in run.responses())
    return frozenset((sample_id, 0) for sample_id in run.record.sample_ids)


def _votes(run: LoadedRun) -> tuple[str, int, int]:
    """Return mode, threshold and number of votes of THRONE, from our own judge or from files of answers."""
    config, calibration = run.record.config, run.scores().calibration
    if config.task == "throne":
        mode = config.score_settings().mode
        thresholds, voters = (config.inputs.task.get(name) for name in ("thresholds", "voters"))
        if isinstance(thresholds, list) and isinstance(voters, int):
            return mode, int(str(thresholds[0])), voters
    if calibration is None:
        raise UserError(f"{run.path / SCORES}: throne has no calibration; score the answers again")
    voters = len(calibration.judges) * len(calibration.yes_rate_by_format)
    mode = config.score_settings().mode if config.task == "throne" else MODES[0]
    return mode, calibration.threshold, voters


def main_policy(run: LoadedRun) -> str:
    """Return how yes/no answers are read for the main scores."""
    policy = settings_of(run.record.config).policy
    return MAIN_POLICY if policy == ALL else policy


def _vocabulary(run: LoadedRun, family: str) -> tuple[str, ...] | None:
    """Return the categories that the family was split by."""
    found = run.scores().metrics[family].per_category
    return None if found is None else tuple(found)


def _judged(run: LoadedRun, family: str) -> FamilyReading:
    """Read descriptions and their judgements."""
    rows = {row.sample_id: row for row in run.lines(SAMPLES, SampleRow)}
    scored = {}
    for response, judgement in run.judged():
        if judgement.unscored is None:
            row = rows[response.sample_id]
            scored[response.sample_id, response.generation] = ScoredSample(
                row.image_id,
                _text(row.objects),
                JudgedSample(
                    *as_judged(response, judgement), frozenset(row.objects), row.areas, depicted=row.depicted
                ),
                _evidence(row),
            )
    metric = registry.metrics.get(family)()
    categories = None
    vocabulary = _vocabulary(run, family)
    if vocabulary is not None and isinstance(metric, CategoryMetric):
        split = metric.by_category(vocabulary)
        categories = CategorySplit(vocabulary, split, split.statistics)
    others: tuple[str, ...] = ()
    if isinstance(metric, FittedMetric):
        summed = {quantity.name for quantity in metric.quantities}
        others = tuple(name for name in run.scores().metrics[family].quantities() if name not in summed)
    return FamilyReading(scored, lambda _: metric, categories=categories, others=others)


def _throne(run: LoadedRun) -> FamilyReading:
    """Read the votes of judges, from files of answers or of a judge of ours.

    A cell that a judgement does not name is absent: how few votes it had changes nothing.
    """
    mode, threshold, voters = _votes(run)
    categories = _vocabulary(run, "throne")
    if categories is None:
        raise UserError(f"{run.path / SCORES}: throne has no categories; score the answers again")
    metric = Throne(mode, threshold, voters, len(categories))
    position = {name: i for i, name in enumerate(categories)}
    rows = {row.sample_id: row for row in run.lines(SAMPLES, SampleRow)}
    scored = {}
    for judgement in run.lines(JUDGEMENTS, Judgement):
        if judgement.unscored is not None:
            continue
        row = rows[judgement.sample_id]
        votes, truth = np.zeros(len(categories), dtype=np.int64), np.zeros(len(categories), dtype=bool)
        cells = judgement.votes or {m.category: m.votes or {} for m in judgement.mentions}
        undecided = np.zeros_like(votes)
        for category, cast in cells.items():
            votes[position[category]] = sum(vote == 1 for vote in cast.values())
            undecided[position[category]] = undecided_votes(cast)
        truth[[position[name] for name in row.objects]] = True
        scored[judgement.sample_id, judgement.generation] = ScoredSample(
            row.image_id,
            _text(row.objects),
            VotedImage(row.image_id, votes, truth, undecided),
            _evidence(row),
        )
    split = CategorySplit(categories, metric.by_category(), metric.category_statistics)
    return FamilyReading(scored, lambda _: metric, f"{mode},{threshold}of{voters}", split)


def _pope(run: LoadedRun) -> FamilyReading:
    """Read questions with their answers. The policy parses the answers again."""
    metric = Pope(main_policy(run))
    responses = {r.sample_id: r for r in run.lines(RESPONSES, Response)}
    scored = {}
    for row in run.lines(ANSWERS, AnswerRow):
        response = responses[row.sample_id]
        if response.response is not None:
            question = AnsweredQuestion(
                row.sample_id,
                row.image_id,
                row.truth == "yes",
                response.response,
                response.first_token_logprobs,
            )
            text = _text([response.prompt, row.truth])
            scored[row.sample_id, response.generation] = ScoredSample(row.image_id, text, question)
    return FamilyReading(scored, lambda _: metric, metric.policy, answers=("accuracy",))


class _AmberRows(AmberRates):
    """AMBER from the rows that a run wrote, so that no word list is needed."""

    def statistics(self, samples: Sequence[AnswerRow | FreeFormRow]) -> FloatArray:
        """Return the counts of each row, shape (samples, 38)."""
        rows = [self._row(sample) for sample in samples]
        return np.array(rows).reshape(len(samples), len(self.columns))

    def _row(self, row: AnswerRow | FreeFormRow) -> FloatArray:
        if isinstance(row, AnswerRow):
            read = row.parsed[self.mode]
            return self.closed_counts(
                row.dimension or "", row.truth == "yes", None if read is None else read == "yes"
            )
        return self.free_counts(
            row.true_objects or (),
            row.feared_objects or (),
            row.nouns,
            row.hallucinated,
            row.covered,
            row.feared,
        )


def _amber(run: LoadedRun) -> FamilyReading:
    """Read answers to closed questions and the nouns of descriptions."""
    metric = _AmberRows(run.record.config.score_settings().mode)
    scored = {}
    for answer in run.lines(ANSWERS, AnswerRow) if run.has(ANSWERS) else []:
        text = _text([answer.dimension, answer.truth])
        scored[answer.sample_id, 0] = ScoredSample(answer.image_id, text, answer)
    for free in run.lines(FREE_FORM, FreeFormRow) if run.has(FREE_FORM) else []:
        if free.true_objects is None:
            raise UserError(
                f"{run.path / FREE_FORM}: does not hold the objects of each image, as an earlier version "
                "wrote it; score the answers into a new folder"
            )
        text = _text([free.true_objects, free.feared_objects])
        scored[free.sample_id, 0] = ScoredSample(free.image_id, text, free)
    answers = tuple(q.name for q in metric.quantities if q.name.endswith("accuracy"))
    return FamilyReading(scored, lambda _: metric, metric.mode, answers=answers)


def _detection(run: LoadedRun) -> FamilyReading:
    """Read people's flags and the detector's scores. The distinct scores make the metric's columns."""
    if not run.has(WORDS):
        raise UserError(f"{run.path}: holds no {WORDS}; run its command again, which writes it")
    limit = share_threshold(run.record.config.score_settings())
    scored = {
        (row.sample_id, 0): ScoredSample(
            row.image_id,
            _text([row.words, row.human]),
            WordScores(row.sample_id, row.image_id, row.human, row.scores),
        )
        for row in run.lines(WORDS, WordRow)
    }
    return FamilyReading(
        scored, lambda samples: Detection(samples, limit), f"threshold={limit}", others=POSITION_NAMES
    )


def _published(run: LoadedRun, benchmark: Callable[[str], QuestionBenchmark]) -> FamilyReading:
    """Read what was read in the answers to a published benchmark."""
    metric = benchmark(published_mode(settings_of(run.record.config)))
    scored = {
        (row.sample_id, 0): ScoredSample(
            row.image_id,
            _text([row.truth, row.groups]),
            ReadAnswer(row.sample_id, row.image_id, row.truth, row.read, row.groups, row.exact),
        )
        for row in run.lines(BENCHMARK_ANSWERS, BenchmarkRow)
    }
    return FamilyReading(scored, lambda _: metric, metric.mode)


def _captions(run: LoadedRun, metric: type[CaptionMeans]) -> FamilyReading:
    """Read the values of long captions."""
    scored = {
        (row.sample_id, 0): ScoredSample(
            row.image_id, row.sample_id, CaptionSample(row.sample_id, row.image_id, row.values)
        )
        for row in run.lines(CAPTION_SCORES, CaptionRow)
        if row.unscored is None
    }
    return FamilyReading(scored, lambda _: metric(), published_mode(settings_of(run.record.config)))


READERS: Mapping[str, Callable[[LoadedRun], FamilyReading]] = {
    "amber": _amber,
    "detection": _detection,
    "pope": _pope,
    "throne": _throne,
    **{
        kind.family: partial(_published, benchmark=kind)
        for kind in (DashB, HallusionBench, HumbleBench, MmHal, RePope)
    },
    **{kind.family: partial(_captions, metric=kind) for kind in (Capture, CompreCap)},
}
"""Families that do not come from judged descriptions."""


def _check(run: LoadedRun, family: str, reading: FamilyReading) -> None:
    """Compare the values from the files with the recorded ones."""
    samples = [scored.sample for scored in reading.scored.values()]
    metric = reading.metric(samples)
    try:
        values = metric.compute(column_sums(metric.statistics(samples)))
    except ValueError as error:
        raise UserError(f"{run.path}: {error}; score the responses again") from error
    for name, stored in run.scores().metrics[family].quantities().items():
        if name in reading.others:
            continue
        value = float(values[name]) if name in values else float("nan")
        same = value != value if stored.value is None else abs(value - stored.value) <= AGREEMENT
        if not same:
            now = "undefined" if value != value else f"{value:.6g}"
            raise UserError(
                f"{run.path / SCORES}: {family}.{name} is {excerpt(stored.value)} there and {now} from the files "
                "beside it; score the responses again with this version"
            )


def _evidence(row: SampleRow) -> dict[str, str]:
    found = {} if row.image_sha256 is None else {"picture": row.image_sha256}
    return found | ({"references": _text(row.references)} if row.references else {})


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
