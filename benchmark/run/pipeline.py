"""A run: generate → judge → score, each stage from the files of the one before.

    samples.jsonl ─ produce ─→ responses.jsonl ─ judge ─→ judgements.jsonl ─ score ─→ report.html, scores.json

A stage does what its file lacks, batch by batch, and nothing if it is whole; so the same call begins a run,
continues one that was killed, and does later stages again whose files were deleted. Batches are fixed by the
position of their requests, and every request carries a seed of its own, so a batch done again is the same batch. A
response that failed for a reason that passes (`Response.transient`: a server was down) counts as lacking: the next
session asks for it again, with the seed it had, and puts the answer in its place.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from eidolon.benchmark.engine.generation import Generation
from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.store.atomic import write_atomically, write_once
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.batch_writer import is_complete
from eidolon.benchmark.store.diagnosis import Diagnosis
from eidolon.benchmark.store.files import (
    AFTER_RESPONSES,
    JUDGEMENTS,
    QUESTIONS,
    REPORT,
    RESPONSES,
    SAMPLES,
    SCORES,
)
from eidolon.benchmark.store.folder import RunFolder, check_folder, open_run
from eidolon.benchmark.store.record import SCHEMA, RunRecord, SampleRow, new_session, provenance
from eidolon.benchmark.tasks.describe.metric_details import write_details
from eidolon.benchmark.tasks.forget.stage import Forget, measure_forgetting
from eidolon.benchmark.tasks.probe.answers import Probe
from eidolon.benchmark.tasks.score_files.run import ANSWERS
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import meter
from eidolon.scorers.core.judge import Evidence, Judge, SlowJudge, VotingJudge
from eidolon.scorers.core.metric import JudgedSample, Metric
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.agreement import calibrate_judge
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.metrics.scoring import score

if TYPE_CHECKING:
    from PIL import Image

JUDGE_BATCH = 256
"""Responses that a judge is handed at once, and that are judged again after a kill; a slow judge says fewer by
its `batch`, and its progress is shown."""
POLICY = "unscored-left-out"


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be done, checked to the point where only the model can still fail."""

    path: Path
    name: str
    config: dict[str, Any]
    """Everything that decides the result, JSON-ready: two runs with equal configs are the same run."""
    samples: tuple[SampleRow, ...]
    keys: tuple[tuple[str, int], ...]
    """(sample id, generation) of every response, in order."""
    batch_size: int
    """Of a new run; one that was begun keeps its own, whatever is found now."""
    judge: Judge
    metrics: tuple[Metric, ...]
    dataset: str
    prompt: str | None
    decoding: str | None
    """The last three as they stand in the signature."""
    seed: int
    resamples: int
    probe: Probe | None = None
    """The questions, in the order of `keys`, where the responses are answers to some."""
    forget: Forget | None = None
    """What is measured of forgetting beside the responses, where the task is that."""
    finds_batch_size: bool = False
    """Whether `batch_size` is only what to do where the producer has nothing better."""
    doctor: Diagnosis | None = None
    """What was found of the model before the run, where somebody asked."""

    def signature(self) -> str:
        """Return the line that goes beside every score of this run."""
        return signature(
            dataset=self.dataset,
            prompt=self.prompt,
            decoding=self.decoding,
            judge=self.judge.signature(),
            policy=self.probe.policy() if self.probe else POLICY,
            n=len(self.keys),
            resamples=self.resamples,
            seed=self.seed,
        )


class Producer(Protocol):
    """Where responses come from: a model, or a file."""

    def prepare(self) -> None:
        """Do whatever can fail by the user's mistake; called before a new folder is made."""
        ...

    def find_batch_size(self, keys: Sequence[tuple[str, int]]) -> int | None:
        """Return how many of these responses a batch should have, None where it matters little. Once prepared."""
        ...

    def produce(self, folder: RunFolder, responses: BatchFile[Response]) -> None:
        """Append the batches that are missing."""
        ...

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return the picture that a sample's response describes, where there is one, for the report."""
        ...


def execute(run: Run, producer: Producer) -> Scores:
    """Bring a run to its end, from wherever it is. UserErrors before the folder exists leave none behind."""
    if check_folder(run.path, run.config) is None:
        producer.prepare()
        if run.finds_batch_size:
            run = replace(run, batch_size=producer.find_batch_size(run.keys) or run.batch_size)
    with open_run(run.path, _record(run)) as folder:
        write_once(
            folder.path / SAMPLES, lambda: "".join(row.model_dump_json() + "\n" for row in run.samples)
        )
        if run.probe:
            write_once(folder.path / QUESTIONS, run.probe.text)
        batch_size = folder.record.batches["size"]
        responses = BatchFile(folder.path / RESPONSES, Response, run.keys, batch_size)
        if not is_complete(responses):
            producer.prepare()
            if responses.batches:
                folder.forget(*AFTER_RESPONSES)
            producer.produce(folder, responses)
        judgements = judge_responses(run, folder, responses.records)
        if run.probe:
            write_atomically(folder.path / ANSWERS, run.probe.answers(responses.records))
        with timed("scored", responses=len(run.keys)):
            scores = score_judgements(run, responses.records, judgements)
        judged = [] if run.probe else judged_samples(run, responses.records, judgements)
        plots = write_details(run.path, run.name, run.metrics, judged, scores)
        if run.forget:
            assert isinstance(producer, Generation)
            scores, drawn = measure_forgetting(
                run.forget, folder, run.name, run.samples, responses.records, judged, scores, producer
            )
            plots += drawn
        report = render_report(
            run.name,
            scores,
            run.samples,
            responses.records,
            judgements,
            producer.picture,
            questions=run.probe.built.rows if run.probe else (),
            plots=plots,
        )
        write_atomically(folder.path / REPORT, report)
        write_atomically(folder.path / SCORES, scores.to_json())
    return scores


def judge_responses(run: Run, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
    """Judge what `judgements.jsonl` lacks, with the verdicts that the truth gives."""
    known = {row.sample_id: Evidence(frozenset(row.objects), row.references) for row in run.samples}
    slow = run.judge.batch if isinstance(run.judge, SlowJudge) else None
    judgements = BatchFile(folder.path / JUDGEMENTS, Judgement, run.keys, slow or JUDGE_BATCH)
    if not judgements.batches:
        return judgements.records
    folder.forget(SCORES)
    shown = meter(f"{run.name}, judge {run.judge.name}", len(run.keys), len(judgements.records))
    with shown if slow else nullcontext() as progress:
        for batch in judgements.batches:
            batched = responses[judgements.span(batch)]
            evidence = [known[response.sample_id] for response in batched]
            with timed("batch judged", batch=batch, responses=len(batched)) as counted:
                found = decide(run.judge, run.judge.judge(batched), evidence)
                judgements.append(found)
                counted["unscored"] = sum(judgement.unscored is not None for judgement in found)
            if progress is not None:
                progress.advance(len(found), 0, sum(j.unscored is not None for j in found))
    return judgements.records


def score_judgements(run: Run, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
    """Compute the metrics of all responses that could be judged."""
    if run.probe:
        return run.probe.score(responses, signature=run.signature(), seed=run.seed, resamples=run.resamples)
    judged = judged_samples(run, responses, judgements)
    return score(
        judged,
        run.metrics,
        signature=run.signature(),
        unscored=len(judgements) - len(judged),
        requested=len(run.keys),
        vocabulary=run.judge.vocabulary or None,
        calibration=calibrate_judge(run.judge, judged) if isinstance(run.judge, VotingJudge) else None,
        responses=responses,
        seed=run.seed,
        resamples=run.resamples,
    )


def judged_samples(
    run: Run, responses: Sequence[Response], judgements: Sequence[Judgement]
) -> list[JudgedSample]:
    """Return the responses that could be judged, with their truth."""
    truth = {row.sample_id: (frozenset(row.objects), row.areas, row.sources) for row in run.samples}
    return [
        JudgedSample(response, judgement, *truth[response.sample_id])
        for response, judgement in zip(responses, judgements, strict=True)
        if judgement.unscored is None
    ]


def _record(run: Run) -> RunRecord:
    return RunRecord(
        schema=SCHEMA,
        name=run.name,
        config=run.config,
        batches={"size": run.batch_size, "count": -(-len(run.keys) // run.batch_size)},
        sample_ids=[row.sample_id for row in run.samples],
        provenance=provenance().model_copy(update={"doctor": run.doctor}),
        sessions=[new_session()],
    )
