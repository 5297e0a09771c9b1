"""The interface of vision-language models: requests, decoding, and protocols for what a model may offer."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from eidolon.models.base.contrast import ContrastDecoding
from eidolon.scorers.core.types import ImageId, Response

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Decoding:
    """How text is generated. Every field is set, so that a model's own defaults have no effect."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    seed: int = 0
    """The run's seed; in a request, the request's own (`request_seed`)."""
    contrast: ContrastDecoding | None = None
    """Contrastive decoding against a branch without the image; None is plain decoding."""

    @property
    def sampled(self) -> bool:
        """Whether tokens are drawn at random."""
        return self.temperature > 0

    def signature(self) -> str:
        """Return the decoding in the form of a score's signature."""
        contrast = f"+{self.contrast.signature()}" if self.contrast else ""
        if not self.sampled:
            return f"greedy(max={self.max_new_tokens}){contrast}"
        return f"sample(t={self.temperature},p={self.top_p},max={self.max_new_tokens},seed={self.seed}){contrast}"


def request_seed(seed: int, sample_id: str, generation: int) -> int:
    """Return the sampling seed of one request, below 2³¹, from the run's seed.

    It does not depend on the batch, so that a response does not depend on the other requests of its batch.
    """
    text = f"{seed}:{generation}:{sample_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


@dataclass(frozen=True, slots=True)
class Request:
    """One image with one prompt, to be answered once."""

    sample_id: str
    image_id: ImageId
    image: "Image.Image"
    prompt: str
    generation: int = 0
    decoding: Decoding = field(default_factory=Decoding)
    """Its `seed` is the request's own."""
    is_question: bool = False
    """Whether it is one of several questions about the image. Then a recorded response must be to the same sample."""


@dataclass(frozen=True, slots=True)
class Interview:
    """A request with the start of an answer, and yes/no questions at that point. Each is asked independently."""

    request: Request
    given: tuple[int, ...]
    """Token ids in the model's own turn. Without any, the question follows the prompt in the same turn."""
    questions: tuple[str, ...]
    before_image: bool = False
    """Put the tokens before the image instead; the question then follows the prompt in the same turn."""


@dataclass(frozen=True, slots=True)
class PictureAttention:
    """Where a model looks along a text: by layer, then by token."""

    mass: tuple[tuple[float, ...], ...]
    """Share of the attention after each token that falls on the picture, 0 to 1, the mean over heads."""
    entropy: tuple[tuple[float, ...], ...]
    """Entropy of the attention after each token, in nats, the mean over heads."""
    picture_tokens: int
    """Tokens of the picture in the prompt."""
    prompt_tokens: int
    """All tokens of the prompt."""
    readout: tuple[tuple[float, ...], ...] = ()
    """For a model with fading memories instead of attention weights: the share of each layer's output that comes from
    what the picture wrote into its state. By layer, then by token; the other numbers are empty then."""


@dataclass(frozen=True, slots=True)
class ScoredRequest:
    """A request with the start of an answer, and the texts that could follow."""

    request: Request
    given: tuple[int, ...]
    """Token ids in the model's own turn."""
    texts: tuple[tuple[int, ...], ...]
    """Token ids of each text, at least one."""


@dataclass(frozen=True, slots=True)
class Odds:
    """Log-probabilities, in nats, that an answer starts with yes and with no, over their usual spellings."""

    yes: float
    no: float

    @property
    def margin(self) -> float:
        """Log-odds of yes against no, in nats."""
        return self.yes - self.no


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why there is no result."""

    reason: str
    transient: bool = False
    """Whether it may pass, so that a later session tries again."""


@runtime_checkable
class Model(Protocol):
    """Anything that answers requests. The protocols below are optional: a model that has the methods is used so."""

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Answer one of the run's fixed batches; its requests share one decoding except for the seed.

        Returns one response per request, in any order. A request that fails comes back as a response with an `error`.
        If the failure may pass, the response is also `transient`: a later session sends the same request again, in a
        batch with fewer requests.
        """
        ...


@runtime_checkable
class SizingModel(Protocol):
    """A model that can choose the number of requests per batch, for runs with `--batch-size auto`."""

    def find_batch_size(self, largest: Callable[[], Sequence[Request]]) -> int | None:
        """Return the number of requests per batch, or None if any number will do.

        `largest` returns the run's largest requests, the largest first. Call it only if they are needed.
        """
        ...


@runtime_checkable
class DescribedModel(Protocol):
    """A model that describes itself, for the run's provenance."""

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts: backend, versions, weights hash, device, dtype."""
        ...


REUSED = "reused_prompt_tokens"
"""Name in `usage()`: prompt tokens whose states were taken from a prefix cache."""


@runtime_checkable
class MeteredModel(Protocol):
    """A model that counts what its requests used, for the run's provenance."""

    def usage(self) -> dict[str, int | float]:
        """Return the totals of all requests so far, by name. A run adds up the totals of its sessions."""
        ...


@runtime_checkable
class DecodingCheckedModel(Protocol):
    """A model that cannot decode in every way that its backend offers."""

    def check_decoding(self, decoding: Decoding) -> None:
        """Check a decoding before the first request.

        Raises:
            UserError: the model's architecture does not support it.
        """
        ...


@runtime_checkable
class ClosingModel(Protocol):
    """A model that holds resources beyond its Python objects, such as processes of its own."""

    def close(self) -> None:
        """Free the resources. A later call of `generate` may acquire them again."""
        ...


@runtime_checkable
class ScoringModel(Protocol):
    """A model that gives the probabilities of yes and no after a text in its own turn."""

    @property
    def max_positions(self) -> int | None:
        """Context length in tokens, image tokens included; None if unknown."""
        ...

    @property
    def layout(self) -> str:
        """Where an interview places the given text, in words."""
        ...

    def check_interview(self) -> None:
        """Check that this model can be interviewed.

        Raises:
            UserError: it cannot.
        """
        ...

    def encode_reply(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text as in the model's own turn."""
        ...

    def decode_reply(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids from the model's own turn."""
        ...

    def interview(self, interviews: Sequence[Interview]) -> Sequence[Sequence[Odds] | Failure]:
        """Return for each interview the odds of each question, or the reason why it failed."""
        ...


@runtime_checkable
class ContinuingModel(ScoringModel, Protocol):
    """A model that also continues a text in its own turn."""

    def continue_replies(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        """Answer one batch; each response begins with the given token ids, which are part of it.

        The requests are like those of `generate`; no two have the same sample and generation. `max_new_tokens` limits
        the tokens after the given ones.
        """
        ...


@runtime_checkable
class CompletingModel(ScoringModel, Protocol):
    """A model that gives the probabilities of texts that could follow a text in its own turn."""

    def encode_within(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text that continues another one."""
        ...

    def score_completions(self, asked: Sequence[ScoredRequest]) -> Sequence[Sequence[float] | Failure]:
        """Return for each request the log-probability of each text in nats, or the reason why it failed."""
        ...


@runtime_checkable
class AttendingModel(ScoringModel, Protocol):
    """A model whose attention weights can be read."""

    def read_attention(
        self, requests: Sequence[Request], texts: Sequence[Sequence[int]]
    ) -> Sequence[PictureAttention | Failure]:
        """Return the attention along a text in the model's own turn, for each request of a batch.

        Raises:
            UserError: the architecture offers no attention weights; the message says why.
        """
        ...


@runtime_checkable
class ReshowingModel(ContinuingModel, Protocol):
    """A model that can be shown its image a second time, within its own turn."""

    def continue_reshown(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        """Answer as `continue_replies` does, with the image repeated after the given token ids."""
        ...


@runtime_checkable
class NamedModel(Protocol):
    """A model with a name for messages."""

    @property
    def name(self) -> str:
        """The path or id that it was loaded by."""
        ...


@runtime_checkable
class WhiteBoxModel(Model, NamedModel, Protocol):
    """A transformers model in this process: other code may run its forward pass and read its logits.

    Teacher forcing, interviews, image ablation and contrastive decoding need no more of a model than this.
    """

    @property
    def model(self) -> Any:
        """The `torch.nn.Module`: a `PreTrainedModel` of transformers with a language-model head."""
        ...

    @property
    def processor(self) -> Any:
        """The checkpoint's transformers processor."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        ...

    @property
    def device(self) -> Any:
        """The `torch.device` of the inputs."""
        ...

    @property
    def dtype(self) -> Any:
        """The `torch.dtype` of the weights."""
        ...

    @property
    def pad_id(self) -> int:
        """The id of the padding token."""
        ...

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids of the tokens that end an answer."""
        ...

    @property
    def has_template(self) -> bool:
        """Whether a chat template renders the prompts."""
        ...

    @property
    def template_options(self) -> dict[str, Any]:
        """Keyword arguments of the chat template beside the messages."""
        ...

    @property
    def counts(self) -> Counter[str]:
        """How often a batch was split, by reason. Code that reads batches with this model adds to it."""
        ...

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        """Return the model's keyword arguments for a batch: tensors by name, on the model's device.

        `input_ids` and `attention_mask` are (batch, length), padded on the left. With `images` false the prompts are
        rendered without an image.
        """
        ...
