"""The work on free-form responses: judged, scored, with the details of their metrics.

The tasks `describe` and `forget` and the scoring of response files share it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eidolon.benchmark.engine.mapping import BatchMapper
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import is_complete
from eidolon.benchmark.store.files import AFTER_RESPONSES, JUDGEMENTS, RESPONSES, SAMPLES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.describe.far_judging import judge_far
from eidolon.benchmark.tasks.describe.metric_details import write_details
from eidolon.benchmark.tasks.protocol import Producer, Results, Shown, Text, sample_text
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import PATIENCE_S, meter
from eidolon.scorers.core.edits import as_judged
from eidolon.scorers.core.foreign import foreign_code
from eidolon.scorers.core.judge import (
    Judge,
    NotedJudge,
    SelfTestedJudge,
    SlowJudge,
    VotingJudge,
    asks_all_votes,
)
from eidolon.scorers.core.metric import FittedMetric, JudgedSample, Metric, Quantity
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.agreement import calibrate_judge
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.metrics.rectified import SampleTruth, rectified
from eidolon.scorers.metrics.scoring import score
from eidolon.scorers.text.answer import RAW, TextRules

_log = logging.getLogger(__name__)

JUDGE_BATCH = 256
"""Responses that a judge is handed at once, and that are judged again after a kill; a slow judge names fewer in its
`batch`, and its progress is shown."""
POLICY = "unscored-left-out"


@dataclass(frozen=True, slots=True)
class JudgedWork:
    """Free-form responses: a judge reads them, metrics count the mentions."""

    name: str
    samples: tuple[SampleRow, ...]
    keys: tuple[Key, ...]
    judged_by: Judge
    metrics: tuple[Metric, ...]
    signature: Signature
    seed: int
    resamples: int
    rules: TextRules = RAW
    """From a response to the text that is judged."""
    mapper: BatchMapper | None = None
    """Where responses are judged, if not in this process."""

    def by(self, mapper: BatchMapper) -> "JudgedWork":
        """Return the same work with the responses judged elsewhere."""
        return replace(self, mapper=mapper)

    def rows(self) -> Mapping[str, Text]:
        """Return the text of `samples.jsonl`."""
        return {SAMPLES: sample_text(self.samples)}

    def quantities(self) -> Mapping[str, Sequence[Quantity]]:
        """Return the quantities that the metrics declare."""
        return {
            metric.family: [
                *metric.quantities,
                *(metric.fitted_quantities if isinstance(metric, FittedMetric) else ()),
            ]
            for metric in self.metrics
        }

    def produce(self, folder: RunFolder, producer: Producer) -> Sequence[Response]:
        """Have the missing responses produced, and return all."""
        return produce_responses(folder, self.keys, producer)

    def judge(self, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
        """Judge what `judgements.jsonl` lacks, with the verdicts that the truth gives."""
        return judge_responses(
            self.name, self.judged_by, self.rules, folder, self.samples, self.keys, responses, self.mapper
        )

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Compute the metrics of all responses that could be judged."""
        judged = self.judged(responses, judgements)
        rows = {row.sample_id: row for row in self.samples}
        return score(
            judged,
            self.metrics,
            signature=self.signature.line(),
            unscored=len(judgements) - len(judged),
            requested=len(self.keys),
            vocabulary=self.judged_by.vocabulary or None,
            calibration=calibrate_judge(self.judged_by, judged)
            if isinstance(self.judged_by, VotingJudge) and asks_all_votes(self.judged_by)
            else None,
            responses=[as_judged(*pair)[0] for pair in zip(responses, judgements, strict=True)],
            edits=[judgement.edits for judgement in judgements],
            variants=rectified(
                judged,
                [truth_of(rows[one.response.sample_id]) for one in judged],
                self.metrics,
                seed=self.seed,
                resamples=self.resamples,
            ),
            seed=self.seed,
            resamples=self.resamples,
        )

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Write the details of the metrics; return all samples for the page."""
        judged = self.judged(results.responses, results.judgements)
        plots = write_details(folder.path, self.name, self.metrics, judged, results.scores)
        return Shown(results.scores, self.samples, results.responses, results.judgements, plots=plots)

    def judged(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> list[JudgedSample]:
        """Return the responses that could be judged, as the judge saw them, with their truth."""
        rows = {row.sample_id: (row, frozenset(row.objects)) for row in self.samples}
        judged = []
        for response, judgement in zip(responses, judgements, strict=True):
            if judgement.unscored is None:
                row, objects = rows[response.sample_id]
                text, found = as_judged(response, judgement)
                judged.append(JudgedSample(text, found, objects, row.areas, row.sources, row.depicted))
        return judged


def truth_of(row: SampleRow) -> SampleTruth:
    """Return what an annotator and its labelled part say of a sample."""
    return SampleTruth(frozenset(row.unsure), None if row.labelled is None else frozenset(row.labelled))


def produce_responses(folder: RunFolder, keys: Sequence[Key], producer: Producer) -> Sequence[Response]:
    """Have the missing responses of a folder produced, the failures that pass among them, and return all."""
    responses = BatchFile(folder.path / RESPONSES, Response, keys, folder.record.batches["size"])
    if not is_complete(responses):
        producer.prepare()
        if responses.batches:
            folder.forget(*AFTER_RESPONSES)
        producer.produce(folder, responses)
    return responses.records


def judge_responses(
    name: str,
    judge: Judge,
    rules: TextRules,
    folder: RunFolder,
    samples: Sequence[SampleRow],
    keys: Sequence[Key],
    responses: Sequence[Response],
    mapper: BatchMapper | None = None,
) -> Sequence[Judgement]:
    """Judge what `judgements.jsonl` lacks, and return all judgements, with their verdicts."""
    known = {row.sample_id: row.evidence for row in samples}
    slow = judge.batch if isinstance(judge, SlowJudge) else None
    judgements = BatchFile(folder.path / JUDGEMENTS, Judgement, keys, slow or JUDGE_BATCH)
    if not judgements.batches:
        return judgements.records
    folder.forget(SCORES)
    far = None
    if mapper is not None:
        far = judge_far(
            mapper,
            folder.record.config,
            judge,
            rules,
            known,
            folder.path,
            [*map(judgements.span, judgements.batches)],
        )
    patience = 0.0 if slow else PATIENCE_S
    with meter(f"{name}, judge {judge.name}", len(keys), len(judgements.records), patience) as progress:
        for batch in judgements.batches:
            batched = responses[judgements.span(batch)]
            evidence = [known[response.sample_id] for response in batched]
            with timed("batch judged", batch=batch, responses=len(batched)) as counted:
                if far is not None:
                    found = next(far)
                else:
                    with foreign_code():
                        found = decide(judge, judge_texts(judge, batched, rules), evidence)
                judgements.append(found)
                counted["unscored"] = sum(judgement.unscored is not None for judgement in found)
            progress.advance(len(found), 0, sum(j.unscored is not None for j in found))
    note_judge(judge, folder)
    return judgements.records


def note_judge(judge: Judge, folder: RunFolder) -> None:
    """Log what a judge has to say after its work, and keep in the record what its own test showed."""
    if isinstance(judge, NotedJudge) and (note := judge.note()) is not None:
        _log.warning("judge %s: %s", judge.name, note)
    if isinstance(judge, SelfTestedJudge):
        folder.record.judge_weaknesses = judge.weaknesses()
