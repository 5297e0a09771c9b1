"""Responses of a model: everything that it is asked, batch by batch, in one process or in several.

Failures that pass are asked for again before what is missing; what a model may do wrong by itself (answer what was
not asked, or twice, or fail at everything for one reason) ends the run with a line that names it.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data.samples import Sample, SampleSource
from eidolon.benchmark.engine.cached_model import CachedModel, uncached
from eidolon.benchmark.engine.coordinator import Alone, Crew, Keys
from eidolon.benchmark.run.settings import AUTO
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.files import AFTER_RESPONSES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import Meter, meter
from eidolon.models.base.model import Decoding, Model, Request, ScoringModel, request_seed
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

if TYPE_CHECKING:
    from PIL import Image

LARGEST_BATCH = 64
"""Requests that a model which tries what fits is given to try."""
UNREADABLE = "the image cannot be read"

_log = logging.getLogger(__name__)
_NUMBER = re.compile(r"\d+")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


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
