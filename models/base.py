"""The one interface behind which every vision-language model stands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from eidolon.scorers.types import ImageId, Response

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

    def signature(self) -> str:
        """Return the decoding as it stands in a score's signature."""
        if self.temperature == 0:
            return f"greedy(max={self.max_new_tokens})"
        return f"sample(t={self.temperature},p={self.top_p},max={self.max_new_tokens},seed={self.seed})"


@dataclass(frozen=True, slots=True)
class Request:
    """One image with one prompt, to be answered once."""

    sample_id: str
    image_id: ImageId
    image: Image.Image
    prompt: str
    generation: int = 0
    decoding: Decoding = field(default_factory=Decoding)
    is_question: bool = False
    """One of several questions about the image, so that a recorded response to another of them will not do."""


class Model(Protocol):
    """Anything that answers requests.

    `generate` is called with the fixed batches of a run and returns one response a request, in any order;
    a request it cannot answer comes back as a response whose `error` says why.
    """

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]: ...


class DescribedModel(Model, Protocol):
    """A model that also says what it is, for the run's provenance (a custom model need not)."""

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts: backend, versions, weights hash, device, dtype."""
        ...
