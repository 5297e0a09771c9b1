"""Image-text-to-text models of transformers, in batches, with every generation setting explicit.

torch and transformers are imported when a model is loaded, so that a run can read this backend's traits without them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from eidolon.models.backends.transformers_options import TransformersOptions
from eidolon.models.base.backend import BackendTraits, FileDigest
from eidolon.models.base.checkpoint_files import resolve_checkpoint
from eidolon.models.base.identity import checkpoint_identity, versions
from eidolon.models.base.model import (
    Decoding,
    Failure,
    Interview,
    Odds,
    PictureAttention,
    Request,
    ScoredRequest,
)
from eidolon.models.base.options import validate_options
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.generated_text import to_response
from eidolon.scorers.core.distribution import require_packages
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

if TYPE_CHECKING:
    import torch

    from eidolon.models.backends.transformers_loading import LoadedCheckpoint

PACKAGES = ("torch", "transformers", "accelerate")
"""Packages of the extra `models`, which this backend needs."""
UNSIZED_DEVICES = ("cpu",)
"""Device types on which no batch size is tried."""


class TransformersModel:
    """A model loaded with `AutoModelForImageTextToText` and its `AutoProcessor`. Implements `WhiteBoxModel`."""

    traits: ClassVar[BackendTraits] = BackendTraits(contrast=True, white_box=True, precision_option="dtype")

    @classmethod
    def resolve(cls, target: str, given: str) -> str:
        """Return the folder or hub id of a checkpoint.

        Raises:
            UserError: there is no such checkpoint.
        """
        return resolve_checkpoint(given, target, shipped_models())

    @classmethod
    def identity(cls, target: str, options: Mapping[str, str], digest: FileDigest) -> dict[str, Any] | None:
        """Return what the answers depend on beside the requests; None if code from the checkpoint takes part."""
        require_packages(f"--model transformers/{target}", *PACKAGES)
        from eidolon.models.base.devices import choose_device, choose_dtype, device_identity

        read = validate_options(TransformersOptions, options)
        if read.trust_remote_code:
            return None
        checkpoint = checkpoint_identity(target, read.revision, digest)
        if checkpoint is None:
            return None
        device = choose_device(read.device, "-M")
        return {
            "checkpoint": checkpoint,
            "options": read.model_dump(mode="json", exclude={"device", "dtype", "revision"}),
            "dtype": str(choose_dtype(read.dtype, device)).removeprefix("torch."),
            **device_identity(device),
            "versions": versions(),
        }

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        """Load a checkpoint by path or hub id.

        Raises:
            UserError: an unknown or ill-typed option, a missing package, or a checkpoint that cannot be loaded.
        """
        self._name = name_or_path
        self.options = validate_options(TransformersOptions, options)
        self.options.check_placement()
        require_packages(f"--model transformers/{name_or_path}", *PACKAGES)
        from eidolon.models.backends.transformers_inputs import InputBuilder
        from eidolon.models.base.devices import choose_device, choose_dtype
        from eidolon.models.generation.settings import ignored_settings, neutral_settings, replace_settings

        self.device = choose_device(self.options.device, "-M")
        self.dtype = choose_dtype(self.options.dtype, self.device)
        loaded = self._load()
        self.processor, self.model, self.device = loaded.processor, loaded.model, loaded.device
        self._unused_weights = loaded.unused_weights
        self._tokenizer = getattr(self.processor, "tokenizer", self.processor)
        configs = self.model.config, self.model.config.get_text_config()
        self._encoder_decoder = any(getattr(config, "is_encoder_decoder", False) for config in configs)
        # A decoder continues after the last column, so its padding comes first. (Its positions are counted from the
        # attention mask.) An encoder counts positions from the first column, so its padding comes last.
        self._tokenizer.padding_side = "right" if self._encoder_decoder else "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._ids = self._generation_ids()
        self._ignored_settings = ignored_settings(self.model)
        replace_settings(self.model, neutral_settings(Decoding().max_new_tokens, self._ids))
        self.counts: Counter[str] = Counter()
        """How often a batch was split, by reason. Code that reads batches with this model adds to it."""
        self._joins = True  # until the model turns out to keep more than keys and values
        self._inputs = InputBuilder(self.processor, self._tokenizer, self.model.config, self.options)

    def _load(self) -> "LoadedCheckpoint":
        from eidolon.models.backends.transformers_loading import load_checkpoint

        return load_checkpoint(self._name, self.options, self.device, self.dtype)

    def _generation_ids(self) -> dict[str, Any]:
        from eidolon.models.generation.settings import own_ids

        ids = own_ids(self.model)
        eos = ids["eos_token_id"] if ids["eos_token_id"] is not None else self._tokenizer.eos_token_id
        ids["eos_token_id"] = [] if eos is None else list(eos) if isinstance(eos, (list, tuple)) else [eos]
        if ids["pad_token_id"] is None:
            ids["pad_token_id"] = self._tokenizer.pad_token_id
        return ids

    @property
    def name(self) -> str:
        """The path or hub id that the model was loaded by."""
        return self._name

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self._tokenizer

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids of the tokens that end an answer."""
        return tuple(self._ids["eos_token_id"])

    @property
    def pad_id(self) -> int:
        """The id of the padding token; the model ignores it."""
        return self._ids["pad_token_id"] or 0

    @property
    def has_template(self) -> bool:
        """Whether a chat template renders the prompts."""
        return self._inputs.has_template

    @property
    def template_options(self) -> dict[str, Any]:
        """Keyword arguments of the chat template beside the messages."""
        return self._inputs.template_options

    @property
    def max_positions(self) -> int | None:
        """Context length of the language model in tokens; None if its config does not state it."""
        config = self.model.config.get_text_config(decoder=True)
        found: int | None = getattr(config, "max_position_embeddings", None)
        return found

    @property
    def layout(self) -> str:
        """Where an interview places the given text, in words."""
        if self.has_template:
            return "the text in the assistant's turn, the question in a new turn of the user"
        return "no chat template: prompt, text and question in one line after the other"

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        """Return the model's keyword arguments for a batch: tensors by name, on the model's device.

        `input_ids` and `attention_mask` are (batch, length); padding is on the left, for an encoder-decoder model on
        the right. With `images` false the prompts are rendered without an image.
        """
        if images:
            return self._inputs.with_images(requests).to(self.device, self.dtype)
        return self._inputs.without_images(requests).to(self.device)

    def describe(self) -> dict[str, Any]:
        """Return what determines the responses beside the requests."""
        from eidolon.models.backends.transformers_provenance import describe_model

        return describe_model(self, self.options, self._unused_weights, self._ignored_settings)

    def usage(self) -> dict[str, int | float]:
        """Return how often a batch was split, by reason; empty if none was."""
        return dict(self.counts)

    def check_decoding(self, decoding: Decoding) -> None:
        """Check that the model's architecture supports a decoding.

        Raises:
            UserError: it does not.
        """
        from eidolon.models.generation.m3id import check_contrast

        check_contrast(self, decoding)

    def find_batch_size(self, largest: Callable[[], Sequence[Request]]) -> int | None:
        """Return how many requests fit into the device's memory at once: all of `largest`, half, a quarter, ….

        Each size is tried with the largest requests and with answers of the maximal length, because the cache grows
        with them. None on a CPU: there memory is seldom the limit, and if it is, a trial could swap or be killed.
        """
        if self.device.type in UNSIZED_DEVICES or not (requests := largest()):
            return None
        from eidolon.models.generation.recovery import is_device_lost, largest_fitting

        def attempt(size: int) -> None:
            self._run(requests[:size], min_new_tokens=requests[0].decoding.max_new_tokens)

        try:
            return largest_fitting(attempt, len(requests))
        except Exception as error:
            if isinstance(error, UserError) or is_device_lost(error):
                raise
            return None  # one request fails by itself; the run will name it

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Return one response per request of a batch. If the batch does not fit or fails, it is answered in parts.

        Raises:
            ValueError: the requests differ in their decoding by more than the seed.
        """
        from eidolon.models.generation.recovery import answer_in_parts

        decoding = requests[0].decoding
        if any(replace(request.decoding, seed=decoding.seed) != decoding for request in requests):
            raise ValueError("the requests of a batch must share one decoding, except for the seed")
        return answer_in_parts(self._answer, requests, self.counts)

    def continue_replies(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        """Return one response per request; each begins with the given token ids, which are part of it."""
        return self._continue(requests, given, reshown=False)

    def _continue(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]], *, reshown: bool
    ) -> Iterable[Response]:
        from eidolon.models.generation.recovery import answer_in_parts

        prefixes = {(r.sample_id, r.generation): tokens for r, tokens in zip(requests, given, strict=True)}

        def answer(part: Sequence[Request]) -> list[Response]:
            return self._answer(part, [prefixes[r.sample_id, r.generation] for r in part], reshown=reshown)

        return answer_in_parts(answer, requests, self.counts)

    def check_interview(self) -> None:
        """Check that the model can be interviewed.

        Raises:
            UserError: it cannot.
        """
        from eidolon.models.probing.yes_no_interview import check_interview

        check_interview(self)

    def encode_reply(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text as in the model's own turn."""
        from eidolon.models.probing.yes_no_interview import encode, reply_prefix

        return tuple(encode(self, reply_prefix(self) + text.lstrip()))

    def decode_reply(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids from the model's own turn."""
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.lstrip()

    def interview(self, interviews: Sequence[Interview]) -> list[list[Odds] | Failure]:
        """Return for each interview the odds of each question, or the reason why it failed.

        A batch that does not fit or fails is answered in parts.
        """
        from eidolon.models.generation.recovery import in_parts
        from eidolon.models.probing import yes_no_interview

        def run(part: Sequence[Interview]) -> Sequence[list[Odds] | Failure]:
            return yes_no_interview.run_interviews(self, part)

        return list(in_parts(run, interviews, self.counts, lambda _, failure: failure))

    def encode_within(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text that continues another one in the model's own turn."""
        from eidolon.models.probing.yes_no_interview import encode

        return tuple(encode(self, text))

    def score_completions(self, asked: Sequence[ScoredRequest]) -> list[list[float] | Failure]:
        """Return for each request the log-probability of each text in nats, or the reason why it failed."""
        from eidolon.models.probing.completions import score_in_parts

        return score_in_parts(self, asked)

    def read_attention(
        self, requests: Sequence[Request], texts: Sequence[Sequence[int]]
    ) -> list[PictureAttention | Failure]:
        """Return the attention along a text in the model's own turn, or the read-out of its fading memories."""
        from eidolon.models.memory.picture_readout import read_looking

        return read_looking(self, requests, texts)

    def continue_reshown(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        """Answer as `continue_replies` does, with the image repeated after the given token ids."""
        return self._continue(requests, given, reshown=True)

    def _answer(
        self,
        requests: Sequence[Request],
        given: Sequence[Sequence[int]] | None = None,
        *,
        reshown: bool = False,
    ) -> list[Response]:
        rows, prompt_tokens, logprobs = self._run(requests, given, reshown=reshown)
        prefixes = given or [()] * len(requests)
        return [
            to_response(
                request,
                [*prefix, *row],
                stops=self._ids["eos_token_id"],
                tokenizer=self._tokenizer,
                prompt_tokens=read - len(prefix),
                logprobs=logs,
                opened=self._inputs.opens_thinking,
            )
            for request, prefix, row, read, logs in zip(
                requests, prefixes, rows, prompt_tokens, logprobs, strict=True
            )
        ]

    def _run(
        self,
        requests: Sequence[Request],
        given: Sequence[Sequence[int]] | None = None,
        *,
        reshown: bool = False,
        **settings: Any,
    ) -> tuple[list[list[int]], list[int], list[list[float]] | list[None]]:
        """Return for each request the new token ids, the number of tokens before them, and log-probabilities.

        The `given` tokens of an answer count among those before the new ones. With `reshown` the image follows them.
        With `given`, or without the option `logprobs`, there are no log-probabilities. `settings` replace generation
        settings.
        """
        import torch

        from eidolon.models.generation.joined_branches import generate_joined
        from eidolon.models.generation.m3id import contrast_processors
        from eidolon.models.generation.sampling import RowwiseSampling
        from eidolon.models.generation.settings import neutral_settings
        from eidolon.models.generation.token_logprobs import TokenLogprobs
        from eidolon.models.probing.yes_no_interview import RowEdit, edit_rows

        decoding = requests[0].decoding
        inputs = self.prepare(requests)
        if given is not None:
            inputs = edit_rows(inputs, [RowEdit(insert=tokens) for tokens in given], self.pad_id)
        if reshown:
            from eidolon.models.probing.reshown import reshow

            inputs = reshow(self, requests, inputs)
        gathered = TokenLogprobs() if self.options.logprobs and given is None else None
        before: list[Any] = [] if gathered is None else [gathered]
        after: list[Any] = []
        if decoding.sampled:
            seeds = [request.decoding.seed for request in requests]
            after.append(RowwiseSampling(seeds, decoding.temperature, decoding.top_p))
        sequences = None
        if decoding.contrast is not None and given is None and not settings and self._joins:
            sequences = generate_joined(self, inputs, requests, before, after)
            self._joins = sequences is not None
        if sequences is None:
            with torch.inference_mode():
                sequences = self.model.generate(
                    **inputs,
                    generation_config=neutral_settings(decoding.max_new_tokens, self._ids, **settings),
                    logits_processor=[*before, *contrast_processors(self, requests), *after],
                )
        new = sequences[:, self._answer_start(inputs["input_ids"], sequences) :].tolist()
        logprobs = [None] * len(requests) if gathered is None else gathered.finish(sequences)
        return new, inputs["attention_mask"].sum(dim=1).tolist(), logprobs

    def _answer_start(self, prompts: "torch.Tensor", sequences: "torch.Tensor") -> int:
        """Return the column at which answers start: after the prompt, unless the model returns the answer alone.

        An encoder-decoder model returns a start token and the answer.
        """
        import torch

        width = prompts.shape[1]
        if torch.equal(sequences[:, :width], prompts.to(sequences.device)):
            return width
        return int(self._encoder_decoder)
