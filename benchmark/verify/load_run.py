"""A finished run, read back to the samples that its scores came from.

Nothing is computed in another way: the metric that scored a run takes the samples again, made from the files
of its folder, and what it makes of them is checked against `scores.json`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from eidolon.benchmark.settings.fields import ALL, MAIN_POLICY
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES, SAMPLES, SCORES
from eidolon.benchmark.store.record import RunRecord, SampleRow, read_record
from eidolon.benchmark.tasks.plugins import needs_judge
from eidolon.benchmark.tasks.rows import ANSWERS, FREE_FORM, WORDS, AnswerRow, FreeFormRow, WordRow
from eidolon.benchmark.tasks.score_files.inputs import share_threshold
from eidolon.scorers.core import registry
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.metric import CategoryMetric, Computation, FittedMetric, FloatArray, JudgedSample
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import ImageId, Judgement, Response
from eidolon.scorers.metrics.amber import AmberRates
from eidolon.scorers.metrics.detection import Detection, WordScores
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.metrics.throne import MODES, Throne, VotedImage
from eidolon.scorers.statistics.bootstrap import column_sums

RecordT = TypeVar("RecordT", bound=BaseModel)

Key = tuple[str, int]
"""(sample id, generation)."""

AGREEMENT = 1e-9
"""Values recomputed from the folder's files are those of `scores.json` but for rounding."""


class SampleMetric(Computation, Protocol):
    """A metric, whatever it takes for a sample."""

    def statistics(self, samples: Sequence[Any]) -> FloatArray:
        """Return sufficient statistics, shape (samples, k)."""
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """One scored response."""

    image_id: ImageId
    truth: str
    """What was asked and what is true, as a text: samples with another are not the same sample."""
    sample: Any
    """What the metric takes."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """What else is known of the sample, by name: only what both runs know can differ."""


@dataclass(frozen=True, slots=True)
class Categories:
    """The split of a metric by category."""

    vocabulary: tuple[str, ...]
    metric: Computation
    statistics: Callable[[Sequence[Any]], FloatArray]


@dataclass(frozen=True, slots=True)
class FamilyReading:
    """One metric family of a run: every scored response, and the metric that scored them."""

    scored: dict[Key, Scored]
    metric: Callable[[Sequence[Any]], SampleMetric]
    """Constructed for all samples that it is to take."""
    rules: str = ""
    """How the metric was set: labels can be swapped only between runs that are computed by the same rules."""
    categories: Categories | None = None
    answers: tuple[str, ...] = ()
    """The quantities that are shares of right answers to yes/no questions."""
    others: tuple[str, ...] = ()
    """The quantities that are no function of summed statistics: fitted, or measured by a probe."""


@dataclass(frozen=True, slots=True)
class Reread:
    """A run folder."""

    path: Path
    record: RunRecord
    scores: Scores
    signature: Signature
    families: dict[str, FamilyReading]
    unread: dict[str, str]
    """Families that cannot be read back, with the reason."""
    responses: frozenset[Key]
    """All that the run has, scored or not."""


def reread(path: Path) -> Reread:
    """Read a run folder; one that is not finished, or not as it was when it was scored, is a UserError."""
    if not path.is_dir():
        raise UserError(f"{path}: {'is a file, not a run folder' if path.exists() else 'no such folder'}")
    record = read_record(path)
    scores = read_scores(path)
    folder = _Folder(path, record, scores)
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
            families[family] = reader(folder)
        except KeyError as error:
            raise UserError(
                f"{path}: its files do not belong together: {error} is in one and not in another; "
                "score the responses again"
            ) from error
        _check(folder, family, families[family])
    signature = record.signature or Signature()
    return Reread(path, record, scores, signature, families, unread, folder.keys())


def read_scores(path: Path) -> Scores:
    """Return a folder's scores; one that has none of this version is a UserError."""
    file = path / SCORES
    if not file.is_file():
        raise UserError(f"{path}: is not a finished run: it holds no {SCORES}; run its command again")
    try:
        return Scores.from_json(read_bytes(file).decode())
    except ValidationError as error:
        raise UserError(
            f"{file}: is not a scores file of this version: {error.errors()[0]['msg']}"
        ) from error
    except ValueError as error:
        raise UserError(f"{file}: is not a scores file of this version: {error}") from error


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    record: RunRecord
    scores: Scores
    _read: dict[str, list[Any]] = field(default_factory=dict)
    """What has been read, by the file's name: several families stand on the same files."""

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def lines(self, name: str, record: type[RecordT]) -> list[RecordT]:
        """Read one of the folder's JSONL files."""
        if name not in self._read:
            self._read[name] = self._parse(self.path / name, record)
        return self._read[name]

    @staticmethod
    def _parse(path: Path, record: type[RecordT]) -> list[RecordT]:
        found = []
        for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
            if not line:
                continue
            try:
                found.append(record.model_validate_json(line))
            except ValidationError as error:
                raise UserError(
                    f"{path}:{number}: is not a line of this version ({error.errors()[0]['msg']}); "
                    "score the responses again"
                ) from error
        return found

    def keys(self) -> frozenset[Key]:
        """Return all responses of the run."""
        if self.has(RESPONSES):
            return frozenset((r.sample_id, r.generation) for r in self.lines(RESPONSES, Response))
        return frozenset((sample_id, 0) for sample_id in self.record.sample_ids)

    def votes(self) -> tuple[str, int, int]:
        """Return mode, threshold and number of votes of THRONE, of a judge of ours or of files of answers."""
        config, calibration = self.record.config, self.scores.calibration
        if config.task == "throne":
            mode = config.score_settings().mode
            thresholds, voters = (config.inputs.task.get(name) for name in ("thresholds", "voters"))
            if isinstance(thresholds, list) and isinstance(voters, int):
                return mode, int(str(thresholds[0])), voters
        if calibration is None:
            raise UserError(f"{self.path / SCORES}: throne has no calibration; score the answers again")
        voters = len(calibration.judges) * len(calibration.yes_rate_by_format)
        mode = config.score_settings().mode if config.task == "throne" else MODES[0]
        return mode, calibration.threshold, voters

    def policy(self) -> str:
        """Return how yes/no answers are read for the main scores."""
        config = self.record.config
        policy = (config.run_settings() if config.verb == "run" else config.score_settings()).policy
        return MAIN_POLICY if policy == ALL else policy

    def vocabulary(self, family: str) -> tuple[str, ...] | None:
        """Return the categories that the family was split by."""
        found = self.scores.metrics[family].per_category
        return None if found is None else tuple(found)


def _judged(folder: _Folder, family: str) -> FamilyReading:
    """Read descriptions and what a judge found in them."""
    rows = {row.sample_id: row for row in folder.lines(SAMPLES, SampleRow)}
    responses, judgements = folder.lines(RESPONSES, Response), folder.lines(JUDGEMENTS, Judgement)
    if [(r.sample_id, r.generation) for r in responses] != [(j.sample_id, j.generation) for j in judgements]:
        raise UserError(
            f"{folder.path}: {JUDGEMENTS} is not of the {RESPONSES} beside it; run its command again"
        )
    scored = {}
    for response, judgement in zip(responses, judgements, strict=True):
        if judgement.unscored is None:
            row = rows[response.sample_id]
            scored[response.sample_id, response.generation] = Scored(
                row.image_id,
                _text(row.objects),
                JudgedSample(response, judgement, frozenset(row.objects), row.areas),
                _evidence(row),
            )
    metric = registry.metrics.get(family)()
    categories = None
    vocabulary = folder.vocabulary(family)
    if vocabulary is not None and isinstance(metric, CategoryMetric):
        split = metric.by_category(vocabulary)
        categories = Categories(vocabulary, split, split.statistics)
    others: tuple[str, ...] = ()
    if isinstance(metric, FittedMetric):
        summed = {quantity.name for quantity in metric.quantities}
        others = tuple(name for name in folder.scores.metrics[family].quantities() if name not in summed)
    return FamilyReading(scored, lambda _: metric, categories=categories, others=others)


def _throne(folder: _Folder) -> FamilyReading:
    """Read the votes of judges, from files of answers or of a judge of ours.

    Cells of which a judgement says nothing are absent; how few votes they had changes nothing.
    """
    mode, threshold, voters = folder.votes()
    categories = folder.vocabulary("throne")
    if categories is None:
        raise UserError(f"{folder.path / SCORES}: throne has no categories; score the answers again")
    metric = Throne(mode, threshold, voters, len(categories))
    position = {name: i for i, name in enumerate(categories)}
    rows = {row.sample_id: row for row in folder.lines(SAMPLES, SampleRow)}
    scored = {}
    for judgement in folder.lines(JUDGEMENTS, Judgement):
        if judgement.unscored is not None:
            continue
        row = rows[judgement.sample_id]
        votes, truth = np.zeros(len(categories), dtype=np.int64), np.zeros(len(categories), dtype=bool)
        cells = judgement.votes or {m.category: m.votes or {} for m in judgement.mentions}
        for category, cast in cells.items():
            votes[position[category]] = sum(cast.values())
        truth[[position[name] for name in row.objects]] = True
        scored[judgement.sample_id, judgement.generation] = Scored(
            row.image_id, _text(row.objects), VotedImage(row.image_id, votes, truth), _evidence(row)
        )
    split = Categories(categories, metric.by_category(), metric.category_statistics)
    return FamilyReading(scored, lambda _: metric, f"{mode},{threshold}of{voters}", split)


def _pope(folder: _Folder) -> FamilyReading:
    """Read questions with their answers; the policy reads them again."""
    metric = Pope(folder.policy())
    responses = {r.sample_id: r for r in folder.lines(RESPONSES, Response)}
    scored = {}
    for row in folder.lines(ANSWERS, AnswerRow):
        response = responses[row.sample_id]
        if response.response is not None:
            question = AnsweredQuestion(row.sample_id, row.image_id, row.truth == "yes", response.response)
            text = _text([response.prompt, row.truth])
            scored[row.sample_id, response.generation] = Scored(row.image_id, text, question)
    return FamilyReading(scored, lambda _: metric, metric.policy, answers=("accuracy",))


class _AmberRows(AmberRates):
    """AMBER from what a run noted of its answers, so that it takes no word list to read them again."""

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


def _amber(folder: _Folder) -> FamilyReading:
    metric = _AmberRows(folder.record.config.score_settings().mode)
    scored = {}
    for answer in folder.lines(ANSWERS, AnswerRow) if folder.has(ANSWERS) else []:
        text = _text([answer.dimension, answer.truth])
        scored[answer.sample_id, 0] = Scored(answer.image_id, text, answer)
    for free in folder.lines(FREE_FORM, FreeFormRow) if folder.has(FREE_FORM) else []:
        if free.true_objects is None:
            raise UserError(
                f"{folder.path / FREE_FORM}: does not hold the objects of each image, as an earlier version "
                "wrote it; score the answers into a new folder"
            )
        text = _text([free.true_objects, free.feared_objects])
        scored[free.sample_id, 0] = Scored(free.image_id, text, free)
    answers = tuple(q.name for q in metric.quantities if q.name.endswith("accuracy"))
    return FamilyReading(scored, lambda _: metric, metric.mode, answers=answers)


def _detection(folder: _Folder) -> FamilyReading:
    """Read people's flags beside the detector's scores; the distinct scores make the metric's columns."""
    if not folder.has(WORDS):
        raise UserError(f"{folder.path}: holds no {WORDS}; run its command again, which writes it")
    limit = share_threshold(folder.record.config.score_settings())
    scored = {
        (row.sample_id, 0): Scored(
            row.image_id,
            _text([row.words, row.human]),
            WordScores(row.sample_id, row.image_id, row.human, row.scores),
        )
        for row in folder.lines(WORDS, WordRow)
    }
    return FamilyReading(scored, lambda samples: Detection(samples, limit), f"threshold={limit}")


READERS: Mapping[str, Callable[[_Folder], FamilyReading]] = {
    "amber": _amber,
    "detection": _detection,
    "pope": _pope,
    "throne": _throne,
}
"""Families that are not computed from a judge's reading of descriptions."""


def _check(folder: _Folder, family: str, reading: FamilyReading) -> None:
    """Compare what the files give now with what was scored."""
    samples = [scored.sample for scored in reading.scored.values()]
    metric = reading.metric(samples)
    try:
        values = metric.compute(column_sums(metric.statistics(samples)))
    except ValueError as error:
        raise UserError(f"{folder.path}: {error}; score the responses again") from error
    for name, stored in folder.scores.metrics[family].quantities().items():
        if name in reading.others:
            continue
        value = float(values[name]) if name in values else float("nan")
        same = value != value if stored.value is None else abs(value - stored.value) <= AGREEMENT
        if not same:
            now = "undefined" if value != value else f"{value:.6g}"
            raise UserError(
                f"{folder.path / SCORES}: {family}.{name} is {excerpt(stored.value)} there and {now} from the files "
                "beside it; score the responses again with this version"
            )


def _evidence(row: SampleRow) -> dict[str, str]:
    found = {} if row.image_sha256 is None else {"picture": row.image_sha256}
    return found | ({"references": _text(row.references)} if row.references else {})


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
