"""Responses of a model to the requests of a run, batch by batch, in one process or in several.

A model that breaks its contract (it answers what was not asked, answers twice, or fails at every request for one
reason) ends the run with one line that names it.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data.samples import Sample, SampleSource
from eidolon.benchmark.engine.cached_model import CachedModel, uncached
from eidolon.benchmark.engine.coordinator import Coordinator, SingleProcess
from eidolon.benchmark.settings.fields import AUTO
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, complete
from eidolon.benchmark.store.files import AFTER_RESPONSES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.terminal.log import timed
from eidolon.models.base.model import (
    Decoding,
    DecodingCheckedModel,
    DescribedModel,
    MeteredModel,
    Model,
    Request,
    ScoringModel,
    SizingModel,
    request_seed,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

if TYPE_CHECKING:
    from PIL import Image

UNREADABLE = "the image cannot be read"

LARGEST_BATCH = 64
"""The most requests that a model is given to try."""

_log = logging.getLogger(__name__)
_NUMBER = re.compile(r"\d+")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class PromptedSample:
    """A sample of the dataset with the prompt that the model gets."""

    sample: Sample
    prompt: str
    is_question: bool = False
    """One of several questions about its image."""


class Generation:
    """The model of a run, and what it is asked: every generation of every prompted sample."""

    def __init__(
        self,
        name: str,
        load: Callable[[], Model],
        source: SampleSource,
        prompted: Mapping[str, PromptedSample],
        decoding: Decoding,
    ) -> None:
        """`prompted` holds the prompted samples by the run's sample id.

        `load` loads the model. It is called at most once, and only if a response is missing.
        """
        self._name, self._load, self._source = name, load, source
        self._prompted, self._decoding = prompted, decoding
        self._model: Model | None = None
        self._reading: ThreadPoolExecutor | None = None
        self._ahead: dict[tuple[Key, ...], Future[tuple[list[Request], dict[Key, Response]]]] = {}
        self.interviews = False
        """Whether the run also interviews the model. `load` then refuses a model that cannot be interviewed."""
        self.coordinator: Coordinator = SingleProcess()
        """Distributes the batches over processes."""
        self._sent = False
        """Whether this process was sent its requests, so that its machine may lack the files."""

    def prepare(self) -> None:
        """Load the model in every process that answers."""
        if self._model is None:
            self.coordinator.prepare(self)

    def find_batch_size(self, keys: Sequence[Key]) -> int | None:
        """Return the number of requests per batch that the model chooses, None if it has no preference."""
        return self.coordinator.fit_batch(self, keys)

    def fit_batch(self, keys: Sequence[Key]) -> int | None:
        """Return the same, from the model that is loaded in this process."""
        if not isinstance(self._model, SizingModel):
            return None
        return self._model.find_batch_size(lambda: self._largest(keys))

    def _largest(self, keys: Sequence[Key]) -> list[Request]:
        """Return the requests with the largest images, largest first; among equals, those with the longest prompts."""
        sizes = {
            sample_id: (
                self._source.pixels(self._prompted[sample_id].sample),
                len(self._prompted[sample_id].prompt),
            )
            for sample_id, _ in keys
        }
        largest = nlargest(LARGEST_BATCH, keys, key=lambda key: sizes[key[0]])
        return self._requests(largest)[0]

    def loaded(self) -> Model:
        """Return the model itself, loaded in this process and without a cache in front of it."""
        self.prepare()
        self.load()
        return uncached(self._loaded())

    def produce(self, folder: RunFolder, responses: BatchFile[Response]) -> None:
        """Complete the responses, and drop the model.

        Raises:
            UserError: the model breaks its contract, or is not the one of an earlier session.
        """
        self.prepare()
        coordinator = self.coordinator
        description = coordinator.describe(self)
        folder.describe_session(coordinator.size, description.get("threads"))
        folder.describe_model(_without_threads(description))
        used = dict(folder.record.usage or {})

        def answer(batches: Sequence[Sequence[Key]]) -> Iterator[Sequence[Response]]:
            for number, answers in enumerate(coordinator.answers(self, batches)):
                if number == 0 and not responses.records:
                    _check_first(self._name, answers)
                yield answers

        def after_batch(answers: Sequence[Response], done: int) -> None:
            if (kept := coordinator.keep(self)) is not None:
                folder.record.sessions[-1].cache = kept
            if (usage := coordinator.usage(self)) is not None:
                folder.count_usage(used, usage)
            _log_batch(answers, done)

        found = folder.record.config.settings.get("batch_size") == AUTO
        stage: Stage[Response] = Stage(
            label=f"{self._name}, batches of {responses.batch_size}" if found else self._name,
            tokens=lambda answer: answer.completion_tokens or 0,
            failed=lambda answer: answer.error is not None,
            before_replace=lambda: folder.forget(*AFTER_RESPONSES),
            after_batch=after_batch,
        )
        complete(responses, answer, stage)

    def load(self) -> None:
        """Load the model in this process, unless it is loaded.

        Raises:
            UserError: the model does not support the run's decoding, or cannot be interviewed where the run does so.
        """
        if self._model is None:
            with timed("model loaded", model=self._name):
                self._model = self._load()
            if isinstance(self._model, DecodingCheckedModel):
                self._model.check_decoding(self._decoding)
            if self.interviews:
                self.scoring_model()

    def scoring_model(self) -> ScoringModel:
        """Return the model for interviews, loaded in this process.

        Raises:
            UserError: it cannot be interviewed.
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

    def describe(self) -> dict[str, Any]:
        """Return what the model that is loaded in this process says of itself."""
        return _description(self._loaded())

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to answer: everything except the model, which it loads itself."""
        return self.__dict__ | {
            "_model": None,
            "coordinator": SingleProcess(),
            "_sent": True,
            "_ahead": {},
            "_reading": None,
        }

    def release(self) -> None:
        """Drop the model in this process, so that its memory is free, and end the thread that reads pictures."""
        self._model = None
        self._ahead.clear()
        if self._reading is not None:
            self._reading.shutdown(cancel_futures=True)
            self._reading = None

    def usage(self) -> dict[str, int | float] | None:
        """Return what the requests of this process have used, None if the model does not count."""
        return (self._model.usage() or None) if isinstance(self._model, MeteredModel) else None

    def keep(self) -> dict[str, int] | None:
        """Store the answers of this process in the cache; return its hits and misses, None without a cache."""
        return self._model.keep() if isinstance(self._model, CachedModel) else None

    def read_ahead(self, keys: Sequence[Key]) -> None:
        """Begin to read the pictures of the next batch, in a thread of its own."""
        if self._reading is None:
            self._reading = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._ahead[tuple(keys)] = self._reading.submit(self._requests, keys)

    def answer(self, keys: Sequence[Key]) -> list[Response]:
        """Return the responses of one batch, answered in this process."""
        model = self._loaded()
        begun = self._ahead.pop(tuple(keys), None)
        requests, unreadable = self._requests(keys) if begun is None else begun.result()
        found = collect(self._name, requests, model.generate(requests)) if requests else {}
        return [unreadable[key] if key in unreadable else found[key] for key in keys]

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return a sample's picture. An unreadable one raises whatever its decoder raises."""
        return self._source.image(self._prompted[sample_id].sample)

    def _requests(self, keys: Sequence[Key]) -> tuple[list[Request], dict[Key, Response]]:
        """Return the requests of a batch, and the responses in place of those whose image cannot be read."""
        requests: list[Request] = []
        unreadable: dict[Key, Response] = {}
        for sample_id, generation in keys:
            prompted = self._prompted[sample_id]
            image_id = prompted.sample.image_id
            try:
                image = self._source.image(prompted.sample)
            except Exception as error:  # a decoder may raise anything; the response records it
                if self._sent and isinstance(error, FileNotFoundError) and prompted.sample.image_sha256:
                    raise UserError(
                        f"machine {os.uname().nodename}: lacks {error.filename}, which the command has read; all "
                        "machines must see the same files"
                    ) from error
                unreadable[sample_id, generation] = Response(
                    sample_id=sample_id,
                    image_id=image_id,
                    response=None,
                    generation=generation,
                    prompt=prompted.prompt,
                    finish_reason="error",
                    error=f"{UNREADABLE}: {_reason(error)}",
                )
            else:
                seed = request_seed(self._decoding.seed, sample_id, generation)
                decoding = replace(self._decoding, seed=seed)
                requests.append(
                    Request(
                        sample_id,
                        image_id,
                        image,
                        prompted.prompt,
                        generation,
                        decoding,
                        prompted.is_question,
                    )
                )
        return requests, unreadable

    def _loaded(self) -> Model:
        assert self._model is not None
        return self._model


def _check_first(name: str, answers: Sequence[Response]) -> None:
    """Raise a UserError if every request of the first batch failed for one reason, as all later ones would.

    Numbers in the reasons may differ: shapes, ids. Transient failures are left to later sessions.
    """
    answered = [answer for answer in answers if not (answer.error or "").startswith(UNREADABLE)]
    reasons = {_NUMBER.sub("#", answer.error or "") for answer in answered}
    permanent = all(answer.error is not None and not answer.transient for answer in answered)
    if len(answered) > 1 and len(reasons) == 1 and permanent:
        raise UserError(
            f"model {name!r}: fails at every request of the first batch ({len(answered)}): {answered[0].error}"
        )


def _log_batch(answers: Sequence[Response], done: int) -> None:
    tokens = sum(answer.completion_tokens or 0 for answer in answers)
    failed = [answer for answer in answers if answer.error is not None]
    counts = {"responses": len(answers), "tokens": tokens, "failed": len(failed), "done": done}
    _log.info("batch answered", extra={"fields": counts})
    for answer in failed:
        fields = {"sample": answer.sample_id, "generation": answer.generation, "reason": answer.error}
        _log.warning("response failed", extra={"fields": fields})


def _reason(error: Exception) -> str:
    """Return what went wrong, without object addresses, which would differ between equal runs."""
    return f"{type(error).__name__}: {_ADDRESS.sub('', str(error))}"


def collect(name: str, requests: Sequence[Request], responses: Iterable[Response]) -> dict[Key, Response]:
    """Return a model's responses by (sample id, generation).

    Raises:
        UserError: a response is to no request, is a second one to the same request, is missing, or does not have
            either a text or an error. The message names the model.
    """
    asked = {(request.sample_id, request.generation): request for request in requests}
    found: dict[Key, Response] = {}
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
        if response.transient and response.error is None:
            # Only an error can be transient. Marked so, a text would be asked for again by every session.
            response = response.model_copy(update={"transient": False})
        found[key] = response.bounded()
    for key in asked:
        if key not in found:
            raise UserError(
                f"model {name!r}: gave no answer to sample {key[0]!r} (generation {key[1]}); "
                f"{len(found)} of {len(asked)} requests were answered"
            )
    return found


def describe_model(model: Model) -> dict[str, Any]:
    """Return what a model says of itself, without its number of threads, in which sessions may differ."""
    return _without_threads(_description(model))


def _without_threads(description: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name != "threads"}


def _description(model: Model) -> dict[str, Any]:
    facts = model.describe() if isinstance(model, DescribedModel) else {}
    description: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return description
