"""The work on responses of a file, batch by batch: neither responses nor judgements are kept in memory.

    file ─ import ─→ responses.jsonl ─ judge ─→ judgements.jsonl ─→ counts ─→ scores

Its files have the bytes of `describe.work.JudgedWork`, whatever the number of processes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from eidolon.benchmark.engine.mapping import BatchMapper
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.files import AFTER_RESPONSES, JUDGEMENTS, RESPONSES, SAMPLES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.store.line_log import LineLog
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.describe.work import JUDGE_BATCH, JudgedWork, note_judge
from eidolon.benchmark.tasks.protocol import SHOWN_SAMPLES, Producer, Results, Shown, Text
from eidolon.benchmark.tasks.score_files.batches import (
    Counter,
    CounterMaker,
    Importer,
    ImporterMaker,
    SourceBatch,
    SourceRecord,
    StoredBatch,
)
from eidolon.benchmark.tasks.score_files.response_table import ScoredSamples
from eidolon.benchmark.tasks.score_files.work import picture_of
from eidolon.benchmark.tasks.score_files.workers import in_order
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import PATIENCE_S, meter
from eidolon.scorers.core.judge import Judge, SlowJudge, VotingJudge
from eidolon.scorers.core.metric import Metric, Quantity
from eidolon.scorers.core.record_stream import RecordLines
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.metrics.tally import Tally, can_tally
from eidolon.scorers.text.answer import TextRules

if TYPE_CHECKING:
    from PIL import Image

ItemT = TypeVar("ItemT")

ROWS_AT_ONCE = 2048
"""Lines of `samples.jsonl` that are made at once."""


@dataclass(frozen=True, slots=True)
class StreamingProducer:
    """The producer of a run whose responses are read from a file while they are written."""

    samples: ScoredSamples
    processes: int
    pictures: Mapping[str, Path] = field(default_factory=dict)
    """The file of each sample's image, by sample id, where it is known."""

    def prepare(self) -> None:
        """Do nothing: the file has been checked."""

    def find_batch_size(self, keys: Sequence[Key]) -> None:
        """Leave it as it is."""

    def produce(self, folder: RunFolder, responses: BatchFile[Response]) -> None:
        """Write the responses that are not there yet."""
        for lines in self.lines(responses.batches, responses.batch_size):
            responses.append([Response.model_validate_json(line) for line in lines.splitlines()])

    def lines(self, batches: range, size: int) -> Iterator[bytes]:
        """Yield the lines of the batches that are missing, in order."""
        source = self.samples.responses.source
        return in_order(
            self._source_batches(batches, size),
            Importer(source, source.path),
            ImporterMaker(source.path, source.names),
            self.processes,
        )

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return a sample's image, None where no file of it is known or the file cannot be read."""
        return picture_of(self.pictures.get(sample_id))

    def _source_batches(self, batches: range, size: int) -> Iterator[SourceBatch]:
        samples = self.samples
        images, ids = samples.truth.images, samples.truth.image_ids
        rows = samples.responses.source.records.rows
        # Records are sent as lines, to be parsed by the other processes, where each line is one.
        lines = isinstance(rows, RecordLines) and not rows.several
        records: Iterator[SourceRecord]
        records = rows.lines() if isinstance(rows, RecordLines) and lines else iter(rows)
        for _ in islice(records, batches.start * size):
            pass
        for batch in batches:
            span = range(len(samples.keys))[batch * size : (batch + 1) * size]
            yield SourceBatch(
                [*islice(records, len(span))],
                [(samples.responses.sample_ids[i], ids[images[i]]) for i in span],
            )


@dataclass
class StreamedWork:
    """Responses of a file: a judge reads them, metrics count the mentions, and only the counts are kept."""

    name: str
    samples: ScoredSamples
    judged_by: Judge
    metrics: tuple[Metric, ...]
    rules: TextRules
    signature: Signature
    seed: int
    resamples: int
    judge_name: str
    judge_options: Mapping[str, str]
    processes: int
    mapper: BatchMapper | None = None
    """Where responses are judged, if not by processes of this machine."""
    _tally: Tally | None = None

    def by(self, mapper: BatchMapper) -> "StreamedWork":
        """Return the same work with the responses judged elsewhere."""
        return replace(self, mapper=mapper)

    def rows(self) -> Mapping[str, Text]:
        """Return the text of `samples.jsonl`."""
        return {SAMPLES: lambda: map(to_lines, _in_lists(self.samples.rows(), ROWS_AT_ONCE))}

    def quantities(self) -> Mapping[str, Sequence[Quantity]]:
        """Return the quantities that the metrics declare."""
        return self._whole(()).quantities()

    def produce(self, folder: RunFolder, producer: Producer) -> Sequence[Response]:
        """Write the responses that `responses.jsonl` lacks."""
        assert isinstance(producer, StreamingProducer)
        size = folder.record.batches["size"]
        log = LineLog(folder.path / RESPONSES, Response, self.samples.keys, size)
        if log.batches:
            folder.forget(*AFTER_RESPONSES)
            for lines in producer.lines(log.batches, size):
                log.append(lines)
        return log.records()

    def judge(self, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
        """Judge what `judgements.jsonl` lacks, with the verdicts that the truth gives, and count all."""
        if self.mapper is not None:
            self._whole(responses).by(self.mapper).judge(folder, responses)
        slow = self.judged_by.batch if isinstance(self.judged_by, SlowJudge) else None
        keys, size = self.samples.keys, slow or JUDGE_BATCH
        stored = LineLog(folder.path / RESPONSES, Response, keys, folder.record.batches["size"])
        log = LineLog(folder.path / JUDGEMENTS, Judgement, keys, size)
        counted = tuple(metric for metric in self.metrics if can_tally(metric))
        tally = Tally(counted, self.judged_by.vocabulary or None)
        if log.batches:
            folder.forget(SCORES)
        done = in_order(
            self._stored_batches(stored, log),
            Counter(self.judged_by, counted, self.rules),
            CounterMaker(self.judge_name, self.judge_options, tuple(m.family for m in counted), self.rules),
            self.processes,
        )
        patience = 0.0 if slow and log.batches else PATIENCE_S
        with meter(f"{self.name}, judge {self.judged_by.name}", len(keys), log.count, patience) as progress:
            missing = log.batches
            for batch in log.all_batches:
                if batch not in missing:
                    tally.add(next(done).tally)
                    continue
                span = log.span(batch)
                with timed("batch judged", batch=batch, responses=span.stop - span.start) as logged:
                    found = next(done)
                    assert found.judgements is not None
                    log.append(found.judgements)
                    logged["unscored"] = found.unscored
                tally.add(found.tally)
                progress.advance(found.count, 0, found.unscored)
        if missing:
            note_judge(self.judged_by, folder)
        self._tally = tally
        return log.records()

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Compute the metrics of all responses that could be judged."""
        if not self._needs_all():
            assert self._tally is not None
            return self._tally.scores(
                self.samples.truth.images,
                self.samples.truth.image_ids,
                signature=self.signature.line(),
                seed=self.seed,
                resamples=self.resamples,
            )
        responses, judgements = [*responses], [*judgements]
        return self._whole(responses).score(responses, judgements)

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Write the details of the metrics; return the samples that the page shows."""
        assert self._tally is not None
        plots: Sequence[bytes] = ()
        if self._needs_all():
            responses, judgements = [*results.responses], [*results.judgements]
            whole = self._whole(responses)
            plots = whole.report(
                folder, replace(results, responses=responses, judgements=judgements), producer
            ).plots
        worst = self._tally.worst(SHOWN_SAMPLES)
        return Shown(
            results.scores,
            [self.samples.row(i) for i in worst],
            [results.responses[i] for i in worst],
            [results.judgements[i] for i in worst],
            plots=plots,
            total=len(results.responses),
        )

    def _needs_all(self) -> bool:
        """Tell whether a metric, the agreement of votes, or a labelled part needs all samples at once."""
        return (
            isinstance(self.judged_by, VotingJudge)
            or bool(self.samples.truth.labelled)
            or not all(map(can_tally, self.metrics))
        )

    def _whole(self, responses: Sequence[Response]) -> JudgedWork:
        """Return the same work in memory."""
        rows: Sequence[SampleRow] = [*self.samples.rows()] if responses else ()
        return JudgedWork(
            name=self.name,
            samples=tuple(rows),
            keys=tuple(self.samples.keys) if responses else (),
            judged_by=self.judged_by,
            metrics=self.metrics,
            signature=self.signature,
            seed=self.seed,
            resamples=self.resamples,
            rules=self.rules,
        )

    def _stored_batches(self, stored: LineLog[Response], log: LineLog[Judgement]) -> Iterator[StoredBatch]:
        truth, images = self.samples.truth, self.samples.truth.images
        judged = log.done
        for batch in log.all_batches:
            span = log.span(batch)
            yield StoredBatch(
                stored.lines(span.start, span.stop),
                [truth.of(int(image)) for image in images[span]],
                log.lines(span.start, span.stop) if batch < judged else None,
            )


def _in_lists(items: Iterator[ItemT], size: int) -> Iterator[list[ItemT]]:
    while found := [*islice(items, size)]:
        yield found
