"""Batches of responses on their way to files and counts: what a process does with one, here or beside this one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.tasks.plugins import make_judge, make_metrics
from eidolon.benchmark.tasks.score_files.response_table import ImageFacts
from eidolon.scorers.core.edits import as_judged
from eidolon.scorers.core.foreign import foreign_code
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import JudgedSample, Metric
from eidolon.scorers.core.records import Placed, flat, line_records
from eidolon.scorers.core.response_lines import ResponseSource
from eidolon.scorers.core.types import ImageId, Judgement, Response
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.metrics.tally import BatchTally, tally_batch
from eidolon.scorers.text.answer import TextRules

SourceRecord: TypeAlias = tuple[int, bytes] | Placed
"""A numbered line, or a record that was read already."""


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Records of the user's file that are to become responses."""

    records: Sequence[SourceRecord]
    ids: Sequence[tuple[str, ImageId]]
    """The sample and the image of each response."""


@dataclass(frozen=True, slots=True)
class Importer:
    """Makes the lines of `responses.jsonl`."""

    source: ResponseSource
    path: Path

    def __call__(self, batch: SourceBatch) -> bytes:
        """Return the lines of a batch."""
        found = []
        for record, (sample_id, image_id) in zip(batch.records, batch.ids, strict=True):
            response = self.source.line(self._placed(record)).response
            if response.sample_id != sample_id or response.image_id != image_id:
                response = response.model_copy(update={"sample_id": sample_id, "image_id": image_id})
            found.append(response)
        return to_lines(found).encode()

    def _placed(self, record: SourceRecord) -> Placed:
        if isinstance(record, Placed):
            return record
        number, line = record
        (placed,) = line_records(line.decode(), number, self.path)
        return placed._replace(row=flat(placed.row))


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """Responses that are to be judged and counted."""

    responses: Sequence[bytes]
    """Lines of `responses.jsonl`."""
    truth: Sequence[ImageFacts]
    """For the image of each response."""
    judgements: Sequence[bytes] | None
    """Lines of `judgements.jsonl`, where it has them already."""


@dataclass(frozen=True, slots=True)
class JudgedBatch:
    """Responses that were judged and counted."""

    judgements: bytes | None
    """Lines of `judgements.jsonl` that it does not have yet."""
    unscored: int
    count: int
    tally: BatchTally


@dataclass(frozen=True, slots=True)
class Counter:
    """Judges responses and counts what metrics need."""

    judge: Judge
    metrics: Sequence[Metric]
    """Those whose statistics are computed batch by batch."""
    rules: TextRules

    def __call__(self, batch: StoredBatch) -> JudgedBatch:
        """Return the judgements and counts of a batch."""
        responses = [Response.model_validate_json(line) for line in batch.responses]
        new = batch.judgements is None
        with foreign_code():
            if batch.judgements is None:
                evidence = [known.evidence for known in batch.truth]
                judgements = decide(self.judge, judge_texts(self.judge, responses, self.rules), evidence)
            else:
                judgements = [Judgement.model_validate_json(line) for line in batch.judgements]
            tally = self._tally(responses, judgements, batch.truth)
        return JudgedBatch(
            judgements=to_lines(judgements).encode() if new else None,
            unscored=len(judgements) - int(tally.scored.sum()),
            count=len(judgements),
            tally=tally,
        )

    def _tally(
        self, responses: Sequence[Response], judgements: Sequence[Judgement], truth: Sequence[ImageFacts]
    ) -> BatchTally:
        seen = [as_judged(*pair) for pair in zip(responses, judgements, strict=True)]
        samples = [
            JudgedSample(response, judgement, known.objects, known.areas, known.sources)
            for (response, judgement), known in zip(seen, truth, strict=True)
            if judgement.unscored is None
        ]
        vocabulary = self.judge.vocabulary or None
        return tally_batch([response for response, _ in seen], judgements, samples, self.metrics, vocabulary)


@dataclass(frozen=True, slots=True)
class CounterMaker:
    """Makes a `Counter` in another process, from names and options."""

    judge: str
    judge_options: Mapping[str, str]
    metrics: tuple[str, ...]
    rules: TextRules

    def __call__(self) -> Counter:
        """Make judge and metrics, and the counter."""
        judge = make_judge(self.judge, self.judge_options)
        return Counter(judge, make_metrics(self.metrics, judge) if self.metrics else (), self.rules)


@dataclass(frozen=True, slots=True)
class ImporterMaker:
    """Hands an `Importer` to another process."""

    path: Path
    names: Mapping[str, str]

    def __call__(self) -> Callable[[SourceBatch], bytes]:
        """Return the importer. Records are sent with each batch."""
        from eidolon.scorers.core.records import Records

        return Importer(ResponseSource(Records([], "jsonl"), self.path, self.names, ()), self.path)
