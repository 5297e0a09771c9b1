"""The model that is examined, and its requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from eidolon.benchmark.data.prompts import PRESETS
from eidolon.benchmark.data.samples import SampleSource
from eidolon.benchmark.verify.doctor.parity import Answered, Reference, ask
from eidolon.models.base.backend import BackendTraits
from eidolon.models.base.model import Decoding, Model, Request, request_seed
from eidolon.scorers.core.errors import UserError

SAMPLES = 8
MAX_NEW_TOKENS = 64
PROMPT = PRESETS["describe"]
MIXED_PROMPTS = (
    "What is this?",
    PROMPT,
    "Look at the picture closely, from the left to the right and from the top to the bottom, and describe what you "
    "see in it.",
)
"""Prompts of different lengths, so that a batch of them needs padding."""

Twin = Callable[[Mapping[str, str]], Model]
"""Loads the same model with changed options."""


def make_requests(source: SampleSource, n: int, *, max_new_tokens: int, seed: int) -> list[Request]:
    """Return greedy requests for the first `n` different readable images. Raises UserError if there are fewer than
    two."""
    requests: list[Request] = []
    seen = set()
    for sample in source.samples:
        if len(requests) == n:
            break
        if sample.image_id in seen:
            continue
        try:
            image = source.image(sample)
        except Exception:  # Pillow raises almost anything for a broken file; another sample is taken
            continue
        seen.add(sample.image_id)
        decoding = Decoding(max_new_tokens, 0.0, 1.0, request_seed(seed, sample.sample_id, 0))
        requests.append(Request(sample.sample_id, sample.image_id, image, PROMPT, decoding=decoding))
    if len(requests) < 2:
        raise UserError(
            f"--dataset {source.name}: has {len(requests)} readable images; the checks need two or more"
        )
    return requests


@dataclass(frozen=True)
class Subject:
    """A loaded model, its requests, and the model that gives the probabilities of tokens."""

    name: str
    traits: BackendTraits
    model: Model
    requests: Sequence[Request]
    reference: Reference | None = None
    """The model itself if it gives log-probabilities, else the model that it is compared with."""
    against: Model | None = None
    twin: Twin | None = None
    """Loads the same model with other options; None if it cannot be loaded again."""
    described: Mapping[str, Any] = field(default_factory=dict)
    """What the model reports about itself."""

    @property
    def n(self) -> int:
        """Number of requests in a full batch."""
        return len(self.requests)

    @property
    def own(self) -> Reference | None:
        """The reference if it is the model itself, else None."""
        return self.reference if self.reference and self.reference.model is self.model else None

    def ask(self, requests: Sequence[Request], batch: int | None = None) -> list[Answered]:
        """Return the answers to requests, in batches of `batch`; by default all in one."""
        return ask(self.model, requests, batch=batch or self.n, name=self.name)

    @cached_property
    def together(self) -> list[Answered]:
        """The greedy answers, from one batch."""
        return self.ask(self.requests)

    @cached_property
    def alone(self) -> list[Answered]:
        """The greedy answers, each from a batch of its own."""
        return self.ask(self.requests, 1)

    @cached_property
    def mixed(self) -> list[Request]:
        """The same images with prompts of different lengths."""
        prompts = [MIXED_PROMPTS[i % len(MIXED_PROMPTS)] for i in range(self.n)]
        return [replace(r, prompt=prompt) for r, prompt in zip(self.requests, prompts, strict=True)]
