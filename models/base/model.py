"""The one interface behind which every vision-language model stands."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from PIL import Image

from eidolon.models.base.contrast import Contrast
from eidolon.scorers.core.types import ImageId, Response

DEFAULT_TEMPERATURE = 0.6
"""Of a run that names none. Greedy decoding makes small models repeat the one thing they are surest of, and the
original protocols sample too (THRONE at 0.2, without a seed; here the seed is part of the signature)."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How text is generated; every field is explicit, so that a model's own defaults cannot change a result."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    seed: int = 0
    """Of a run; in a request, of that request alone (`request_seed`)."""
    contrast: Contrast | None = None
    """What the picture's absence is held against; None decodes plainly."""

    @property
    def sampled(self) -> bool:
        """Whether chance decides anything."""
        return self.temperature > 0

    def signature(self) -> str:
        """Return the decoding as it stands in a score's signature."""
        steered = f"+{self.contrast.signature()}" if self.contrast else ""
        if not self.sampled:
            return f"greedy(max={self.max_new_tokens}){steered}"
        return (
            f"sample(t={self.temperature},p={self.top_p},max={self.max_new_tokens},seed={self.seed}){steered}"
        )


def request_seed(seed: int, sample_id: str, generation: int) -> int:
    """Return the sampling seed of one request, below 2³¹, from the run's seed.

    It does not depend on the batch, so that a response is the same whatever it was generated together with.
    """
    text = f"{seed}:{generation}:{sample_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


@dataclass(frozen=True, slots=True)
class Request:
    """One image with one prompt, to be answered once."""

    sample_id: str
    image_id: ImageId
    image: Image.Image
    prompt: str
    generation: int = 0
    decoding: Decoding = field(default_factory=Decoding)
    """Its `seed` is the request's own."""
    is_question: bool = False
    """One of several questions about the image, so that a recorded response to another of them will not do."""


@dataclass(frozen=True, slots=True)
class Interview:
    """A request that the model has begun to answer, and yes/no questions, each put to it then as if it were the
    only one."""

    request: Request
    given: tuple[int, ...]
    """Tokens that stand in the model's own turn. Without any the question follows the prompt in the same turn."""
    questions: tuple[str, ...]
    before_picture: bool = False
    """The tokens stand before the picture instead, and the question follows the prompt in the same turn."""


@dataclass(frozen=True, slots=True)
class Odds:
    """Log-probabilities, in nats, that an answer begins with yes and with no, in any usual spelling."""

    yes: float
    no: float

    @property
    def margin(self) -> float:
        """How much likelier yes is, in nats."""
        return self.yes - self.no


@dataclass(frozen=True, slots=True)
class Failure:
    """What stands for numbers that could not be had."""

    reason: str
    transient: bool = False
    """It passes, so that a later session asks again."""


class Model(Protocol):
    """Anything that answers requests.

    `generate` is called with the fixed batches of a run, whose requests share one decoding but for the seed, and
    returns one response a request, in any order; a request it cannot answer comes back as a response whose `error`
    says why. Where that passes (`Response.transient`), a later session asks for the same again, with fewer requests
    in the batch.
    """

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]: ...


class SizingModel(Model, Protocol):
    """A model that can tell how many requests a batch should have, for runs whose batch size is `auto`."""

    def find_batch_size(self, largest: Callable[[], Sequence[Request]]) -> int | None:
        """Return it, or None where any will do; `largest` gives the run's largest requests, the largest first."""
        ...


class DescribedModel(Model, Protocol):
    """A model that also says what it is, for the run's provenance (a custom model need not)."""

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts: backend, versions, weights hash, device, dtype."""
        ...


class MeteredModel(Model, Protocol):
    """A model whose requests are counted, for the run's provenance."""

    def usage(self) -> dict[str, int | float]:
        """Return what all requests so far came to, by name; sessions of a run are added up."""
        ...


@runtime_checkable
class ScoringModel(Protocol):
    """A model that can be handed a text as its own and says how likely yes and no would be after it."""

    @property
    def max_positions(self) -> int | None:
        """Tokens that it can read, pictures included; None where it does not say."""
        ...

    @property
    def layout(self) -> str:
        """Where the given text of an interview stands, in words."""
        ...

    def check_interview(self) -> None:
        """Raise a UserError where it cannot be interviewed after all."""
        ...

    def encode_reply(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text as they stand in the model's own turn."""
        ...

    def decode_reply(self, tokens: Sequence[int]) -> str:
        """Return the text of such tokens."""
        ...

    def interview(self, interviews: Sequence[Interview]) -> Sequence[Sequence[Odds] | Failure]:
        """Return the odds of each question of each interview, or why there are none."""
        ...


@runtime_checkable
class ContinuingModel(ScoringModel, Protocol):
    """A model that also goes on by itself from a text it is handed as its own."""

    def continue_replies(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        """Answer one batch, each answer beginning with given tokens; they are part of the response.

        The requests are like those of `generate`; no two share sample and generation. `max_new_tokens` bounds what
        is added to the given tokens.
        """
        ...


FileDigest: TypeAlias = Callable[[Path], str]
"""Returns the SHA-256 of a file's content; it may know that of a file which has not changed."""


class IdentifiedModel(Model, Protocol):
    """A model that can say, before it is loaded, what its answers come from, so that they may be given again.

    It must answer alike whatever a request's ids are: only picture, prompt and decoding are looked at.
    """

    @classmethod
    def identity(cls, target: str, options: Mapping[str, str], digest: FileDigest) -> dict[str, Any] | None:
        """Return everything beside a request that can change its answer, JSON-ready; None: it cannot be known.

        Two models that could answer differently must differ here: weights, template, processor, every option,
        versions, precision, the kind of device.
        """
        ...
