"""A run: generate → judge → score, each stage from the files of the one before.

    samples.jsonl ─ produce ─→ responses.jsonl ─ judge ─→ judgements.jsonl ─ score ─→ report.html, scores.json

A stage does what its file lacks, batch by batch, and nothing if it is whole; so the same call begins a run,
continues one that was killed, and does later stages again whose files were deleted. Batches are fixed by the
position of their requests, and every request carries a seed of its own, so a batch done again is the same batch. A
response that failed for a reason that passes (`Response.transient`: a server was down) counts as lacking: the next
session asks for it again, with the seed it had, and puts the answer in its place.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from eidolon.benchmark.answers.run import ANSWERS
from eidolon.benchmark.cached_model import CachedModel, uncached
from eidolon.benchmark.config import AUTO
from eidolon.benchmark.crew import Alone, Crew, Keys
from eidolon.benchmark.datasets import Sample, SampleSource
from eidolon.benchmark.details import write_details
from eidolon.benchmark.doctor.records import Diagnosis
from eidolon.benchmark.forget import Forget, measure_forgetting
from eidolon.benchmark.log import timed
from eidolon.benchmark.probe.answers import Probe
from eidolon.benchmark.progress import Meter, meter
from eidolon.benchmark.report import render_report
from eidolon.benchmark.run_folder import (
    HELD,
    JUDGEMENTS,
    PDM,
    QUESTIONS,
    REPORT,
    RESPONSES,
    RETENTION,
    SAMPLES,
    SCHEMA,
    SCORES,
    BatchFile,
    RunFolder,
    RunRecord,
    SampleRow,
    check_folder,
    new_session,
    open_run,
    provenance,
    write_atomically,
    write_once,
)
from eidolon.models.base import Decoding, Model, Request, ScoringModel, request_seed
from eidolon.scorers.errors import UserError
from eidolon.scorers.matching import Evidence, decide
from eidolon.scorers.metric import JudgedSample, Metric
from eidolon.scorers.scores import Scores, score
from eidolon.scorers.signature import signature
from eidolon.scorers.throne_judged import calibrate_judge
from eidolon.scorers.types import Judge, Judgement, Response, VotingJudge

if TYPE_CHECKING:
    from PIL import Image

JUDGE_BATCH = 256
"""Responses that a judge is handed at once, and that are judged again after a kill; a slow judge says fewer by
its `batch`, and its progress is shown."""
POLICY = "unscored-left-out"
AFTER_RESPONSES = (SCORES, JUDGEMENTS, RETENTION, HELD, PDM)
"""What is made from the responses, and is worth nothing once they change."""
LARGEST_BATCH = 64
"""Requests that a model which tries what fits is given to try."""
UNREADABLE = "the image cannot be read"

_log = logging.getLogger(__name__)
_NUMBER = re.compile(r"\d+")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


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
        if responses.batches or transient_failures(responses):
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
                run.forget, folder, run.name, run.samples, responses.records, scores, producer
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
    slow: int | None = getattr(run.judge, "batch", None)
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


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is asked about a sample of the dataset."""

    sample: Sample
    prompt: str
    is_question: bool = False
    """One of several about its image."""


class Generation:
    """Responses from a model, for every generation of all that it is asked."""

    def __init__(
        self,
        name: str,
        load: Callable[[], Model],
        source: SampleSource,
        asked: Mapping[str, Asked],
        decoding: Decoding,
    ) -> None:
        """Take the model's name, how to load it (done at most once, and only if something is missing), and
        what to ask it, by sample id of the run."""
        self._name, self._load, self._source = name, load, source
        self._asked, self._decoding = asked, decoding
        self._model: Model | None = None
        self.interviews = False
        """Whether the model will be asked in the midst of a text too, so that one that cannot is told at once."""
        self.crew: Crew = Alone()
        """Who answers: this process, or several."""

    def prepare(self) -> None:
        """Load the model, wherever it is to answer."""
        if self._model is None:
            self.crew.prepare(self)

    def find_batch_size(self, keys: Sequence[tuple[str, int]]) -> int | None:
        """Ask the model, if it can tell; it may ask for the largest requests to try."""
        find = getattr(self._model, "find_batch_size", None)
        return find(lambda: self._largest(keys)) if callable(find) else None

    def _largest(self, keys: Sequence[tuple[str, int]]) -> list[Request]:
        """Return the requests with the largest pictures, and with the longest prompts among equals, largest first."""
        sizes = {
            sample_id: (
                self._source.pixels(self._asked[sample_id].sample),
                len(self._asked[sample_id].prompt),
            )
            for sample_id, _ in keys
        }
        largest = nlargest(LARGEST_BATCH, keys, key=lambda key: sizes[key[0]])
        return self._requests(largest)[0]

    def loaded(self) -> Model:
        """Return the model, for a look at it before the run."""
        self.prepare()
        return uncached(self._loaded())

    def produce(self, folder: RunFolder, responses: BatchFile[Response]) -> None:
        """Answer what is missing, showing the progress; then let go of the model.

        Failures that pass are asked for again first. An answer takes the failure's place; a failure that passes,
        once more, does not, so that nothing changes where nothing was gained.
        """
        self.prepare()
        model = self._loaded()
        folder.describe_session(self.crew.size, _said(model).get("threads"))
        folder.describe_model(describe_model(model))
        keys, used = responses.keys, dict(folder.record.usage or {})
        found = folder.record.config.get("batch_size") == AUTO
        what = f"{self._name}, batches of {responses.batch_size}" if found else self._name
        again = [*transient_failures(responses).values()]
        batches = [*again, *(keys[responses.span(batch)] for batch in responses.batches)]
        with meter(what, len(keys), len(responses.records) - sum(map(len, again))) as progress:
            for number, answers in enumerate(self.crew.answers(self, batches)):
                if number >= len(again):
                    if not responses.records:
                        _check_first(self._name, answers)
                    responses.append(answers)
                elif healed := {(a.sample_id, a.generation): a for a in answers if not _passes(a)}:
                    folder.forget(*AFTER_RESPONSES)
                    responses.replace(healed)
                if (kept := self.crew.keep(self)) is not None:
                    folder.record.sessions[-1].cache = kept
                if (usage := self.crew.usage(self)) is not None:
                    folder.count_usage(used, usage)
                _show(progress, answers)

    def load(self) -> None:
        """Load the model in this process; one that cannot decode as the run asks says so here."""
        if self._model is None:
            with timed("model loaded", model=self._name):
                self._model = self._load()
            check_decoding = getattr(self._model, "check_decoding", None)
            if callable(check_decoding):
                check_decoding(self._decoding)
            if self.interviews:
                self.interviewee()

    def interviewee(self) -> ScoringModel:
        """Return the model, loaded in this process, to be asked in the midst of a text.

        Raises:
            UserError: it cannot be.
        """
        self.load()
        model = uncached(self._loaded())
        if not isinstance(model, ScoringModel):
            raise UserError(
                f"--task forget: model {self._name!r} gives no probabilities of answers after a given text; "
                "give a transformers/… model, or --task describe"
            )
        model.check_interview()
        return model

    def release(self) -> None:
        """Let go of the model in this process."""
        self._model = None

    def usage(self) -> dict[str, int | float] | None:
        """Return what the requests of this process came to, None where the model does not count."""
        usage = getattr(self._model, "usage", None)
        return (usage() or None) if callable(usage) else None

    def keep(self) -> dict[str, int] | None:
        """Let the cache keep the answers of this process; return its hits and misses, None without a cache."""
        return self._model.keep() if isinstance(self._model, CachedModel) else None

    def answer(self, keys: Keys) -> list[Response]:
        """Answer one batch in this process."""
        model = self._loaded()
        requests, unreadable = self._requests(keys)
        found = collect(self._name, requests, model.generate(requests)) if requests else {}
        return [unreadable[key] if key in unreadable else found[key] for key in keys]

    def _requests(self, keys: Keys) -> tuple[list[Request], dict[tuple[str, int], Response]]:
        """Return the requests of a batch, and what becomes of those whose pictures cannot be read."""
        requests: list[Request] = []
        unreadable: dict[tuple[str, int], Response] = {}
        for sample_id, generation in keys:
            asked = self._asked[sample_id]
            image_id = asked.sample.image_id
            try:
                image = self._source.image(asked.sample)
            except Exception as error:  # a broken file makes Pillow raise almost anything; it is recorded
                unreadable[sample_id, generation] = Response(
                    sample_id=sample_id,
                    image_id=image_id,
                    response=None,
                    generation=generation,
                    prompt=asked.prompt,
                    finish_reason="error",
                    error=f"{UNREADABLE}: {_reason(error)}",
                )
            else:
                seed = request_seed(self._decoding.seed, sample_id, generation)
                decoding = replace(self._decoding, seed=seed)
                requests.append(
                    Request(sample_id, image_id, image, asked.prompt, generation, decoding, asked.is_question)
                )
        return requests, unreadable

    def _loaded(self) -> Model:
        assert self._model is not None
        return self._model

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return a sample's picture."""
        return self._source.image(self._asked[sample_id].sample)


def transient_failures(responses: BatchFile[Response]) -> dict[int, list[tuple[str, int]]]:
    """Return, by batch, the keys of the responses that are there but failed for a reason that passes."""
    found: dict[int, list[tuple[str, int]]] = {}
    for batch in range(responses.done):
        if keys := [
            (r.sample_id, r.generation) for r in responses.records[responses.span(batch)] if _passes(r)
        ]:
            found[batch] = keys
    return found


def _passes(response: Response) -> bool:
    return response.transient and response.error is not None


def _check_first(name: str, answers: Sequence[Response]) -> None:
    """Refuse a model that fails at every request of the first batch for one reason: it would at all the others.

    Numbers in the reasons may differ (shapes, ids), and failures that pass are for later sessions.
    """
    asked = [answer for answer in answers if not (answer.error or "").startswith(UNREADABLE)]
    reasons = {_NUMBER.sub("#", answer.error or "") for answer in asked}
    if len(asked) > 1 and len(reasons) == 1 and all(a.error is not None and not a.transient for a in asked):
        raise UserError(
            f"model {name!r}: fails at every request of the first batch ({len(asked)}): {asked[0].error}"
        )


def _show(progress: Meter, answers: Sequence[Response]) -> None:
    tokens = sum(answer.completion_tokens or 0 for answer in answers)
    failed = [answer for answer in answers if answer.error is not None]
    progress.advance(len(answers), tokens, len(failed))
    counted = {"responses": len(answers), "tokens": tokens, "failed": len(failed), "done": progress.done}
    _log.info("batch answered", extra={"fields": counted})
    for answer in failed:
        what = {"sample": answer.sample_id, "generation": answer.generation, "reason": answer.error}
        _log.warning("response failed", extra={"fields": what})


def _reason(error: Exception) -> str:
    """Return what went wrong, without the address of the object it went wrong with: runs must be equal."""
    return f"{type(error).__name__}: {_ADDRESS.sub('', str(error))}"


def collect(
    name: str, requests: Sequence[Request], responses: Iterable[Response]
) -> dict[tuple[str, int], Response]:
    """Return a model's responses by (sample id, generation).

    A response to what was not asked, two to one request, none to another, and one with neither text nor error
    (or both) are UserErrors that name the model: a custom one may do any of this.
    """
    asked = {(request.sample_id, request.generation): request for request in requests}
    found: dict[tuple[str, int], Response] = {}
    for response in responses:
        key = (response.sample_id, response.generation)
        if key not in asked or response.image_id != asked[key].image_id:
            raise UserError(
                f"model {name!r}: answered sample {key[0]!r} (generation {key[1]}), which was not asked"
            )
        if key in found:
            raise UserError(f"model {name!r}: answered sample {key[0]!r} (generation {key[1]}) twice")
        if (response.response is None) == (response.error is None):
            raise UserError(
                f"model {name!r}: the answer to sample {key[0]!r} must have either a response or an error"
            )
        found[key] = response
    for key in asked:
        if key not in found:
            raise UserError(
                f"model {name!r}: gave no answer to sample {key[0]!r} (generation {key[1]}); "
                f"{len(found)} of {len(asked)} requests were answered"
            )
    return found


def describe_model(model: Model) -> dict[str, Any]:
    """Return what a model says of itself, but for the number of threads: sessions may differ in it."""
    return {name: value for name, value in _said(model).items() if name != "threads"}


def _said(model: Model) -> dict[str, Any]:
    describe = getattr(model, "describe", None)
    said: dict[str, Any] = json.loads(json.dumps(describe() if callable(describe) else {}, default=str))
    return said


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
