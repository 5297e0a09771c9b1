"""Any image-text-to-text model of transformers, batched, with every generation setting explicit."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from safetensors import SafetensorError

from eidolon.models.base.devices import choose_device, choose_dtype, device_identity
from eidolon.models.base.identity import checkpoint_identity, versions
from eidolon.models.base.image_size import fit_pixels
from eidolon.models.base.model import Decoding, Failure, FileDigest, Interview, Odds, Request
from eidolon.models.base.options import validate_options
from eidolon.models.base.weights import refuse_misfits
from eidolon.models.generation.generated_text import to_response
from eidolon.models.generation.m3id import check_contrast, contrasting
from eidolon.models.generation.recovery import (
    answer_in_parts,
    in_parts,
    is_device_lost,
    is_out_of_memory,
    largest_fitting,
)
from eidolon.models.generation.sampling import RowwiseSampling
from eidolon.models.generation.settings import neutral_settings, own_ids, replace_settings, set_aside
from eidolon.models.generation.token_logprobs import TokenLogprobs
from eidolon.models.memory.registering import register_own
from eidolon.models.probing import yes_no_interview as interview
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response


def _from_json(value: object) -> object:
    """Read a JSON object; leave other text to be checked as it is."""
    try:
        return json.loads(value) if isinstance(value, str) and value.lstrip().startswith("{") else value
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from error


UNTRIED_DEVICES = ("cpu",)
"""Where no batch size is tried out."""
Place = int | str


class Options(BaseModel):
    """The `-M key=value` options of this backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = "auto"
    """`auto`: the first CUDA device, else Apple's, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: float32 on a CPU, else bfloat16 where the device has it and float16 where not."""
    revision: str = "main"
    trust_remote_code: bool = False
    attention: str | None = None
    """An attention implementation of transformers (`eager`, `sdpa`, …); None leaves the choice to it."""
    thinking: bool = False
    """Let models think that can; the thinking block is kept apart from the answer."""
    system: str | None = None
    """A system message."""
    max_pixels: int | None = Field(default=None, ge=1)
    """Of a picture, before the model's processor sees it; larger ones are made smaller, of the same shape."""
    logprobs: bool = False
    """Record the log-probability of every generated token."""
    device_map: Annotated[
        Literal["auto", "balanced", "balanced_low_0", "sequential"] | dict[str, Place] | None,
        BeforeValidator(_from_json),
    ] = None
    """Spread a model that is too large for one device, as accelerate has it: by a rule, or by a JSON object that
    says for each module a device, `cpu` or `disk`. Takes the place of `device`."""
    max_memory: Annotated[dict[str, Place] | None, BeforeValidator(_from_json)] = None
    """With `device_map`: a JSON object of what each device may hold, `{"0": "20GiB", "cpu": "60GiB"}`."""
    offload_folder: str | None = None
    """With `device_map`: where weights go that are mapped to `disk`."""


class TransformersModel:
    """A model loaded with `AutoModelForImageTextToText` and its `AutoProcessor`."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        """Load a checkpoint by path or hub id.

        Raises:
            UserError: an unknown or ill-typed option, or a checkpoint that cannot be loaded as such a model.
        """
        self._name = name_or_path
        self.options = validate_options(Options, options)
        _check_placing(self.options)
        self.device = choose_device(self.options.device, "-M")
        self.dtype = choose_dtype(self.options.dtype, self.device)
        self.processor, self.model = self._load()
        self._tokenizer = getattr(self.processor, "tokenizer", self.processor)
        # A decoder goes on after the last column, so padding stands before the prompt; an encoder counts positions
        # from the first, so that there it stands behind. (A decoder's are counted from the attention mask.)
        self._encodes = any(getattr(config, "is_encoder_decoder", False) for config in self._configs())
        self._tokenizer.padding_side = "right" if self._encodes else "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._ids = self._generation_ids()
        self.set_aside = set_aside(self.model)
        replace_settings(self.model, neutral_settings(Decoding().max_new_tokens, self._ids))
        self.counts: Counter[str] = Counter()
        """How often a batch had to be taken apart, and why; whoever reads with this model adds to it."""
        template = getattr(self.processor, "chat_template", None)
        self._has_template = bool(template)
        # Only a template that knows the switch may be given it; the others pass it on to the tokenizer.
        self._template_options = (
            {"enable_thinking": self.options.thinking} if "enable_thinking" in str(template) else {}
        )
        self._image_marker = "" if self._has_template else self._find_image_marker()

    @property
    def name(self) -> str:
        """The path or hub id it was loaded by."""
        return self._name

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self._tokenizer

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        return tuple(self._ids["eos_token_id"])

    @property
    def pad_id(self) -> int:
        """The token that fills rows up; what it is does not matter."""
        return self._ids["pad_token_id"] or 0

    def prepare(self, requests: Sequence[Request], *, pictures: bool = True) -> Any:
        """Return what the model is called with for a batch, on its device, padded (a decoder's on the left).

        Without `pictures` the same is rendered as if the requests had none.
        """
        return self._inputs(requests) if pictures else self._text_inputs(requests)

    def check_decoding(self, decoding: Decoding) -> None:
        """Raise a UserError for a decoding that the model's architecture cannot have."""
        check_contrast(self, decoding)

    @property
    def has_template(self) -> bool:
        """Whether dialogues are rendered by a chat template."""
        return self._has_template

    @property
    def template_options(self) -> dict[str, Any]:
        """What the template is told beside the messages."""
        return self._template_options

    @property
    def max_positions(self) -> int | None:
        """Tokens that the language model has positions for; None where its config does not say."""
        config = self.model.config.get_text_config(decoder=True)
        found: int | None = getattr(config, "max_position_embeddings", None)
        return found

    @property
    def layout(self) -> str:
        """Where the given text of an interview stands."""
        if self._has_template:
            return "the text in the assistant's turn, the question in a new turn of the user"
        return "no chat template: prompt, text and question in one line after the other"

    def check_interview(self) -> None:
        """Raise a UserError for a model whose text cannot be forced."""
        interview.check(self)

    def encode_reply(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text as they stand in the model's own turn."""
        return tuple(interview.encode(self, interview.lead(self) + text.lstrip()))

    def decode_reply(self, tokens: Sequence[int]) -> str:
        """Return the text of such tokens."""
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.lstrip()

    def interview(self, interviews: Sequence[Interview]) -> list[list[Odds] | Failure]:
        """Return the odds of yes and no for each question of each interview; they make one batch.

        A batch that does not fit, or in which an interview makes the model or its processor fail, is held in parts.
        """

        def hold(some: Sequence[Interview]) -> Sequence[list[Odds] | Failure]:
            return interview.hold(self, some)

        return list(in_parts(hold, interviews, self.counts, lambda _, failure: failure))

    def continue_replies(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        """Answer one batch, each answer beginning with given tokens; they are part of the response."""
        begun = {(r.sample_id, r.generation): tokens for r, tokens in zip(requests, given, strict=True)}

        def answer(part: Sequence[Request]) -> list[Response]:
            return self._answer(part, [begun[r.sample_id, r.generation] for r in part])

        return answer_in_parts(answer, requests, self.counts)

    @classmethod
    def identity(cls, target: str, options: Mapping[str, str], digest: FileDigest) -> dict[str, Any] | None:
        """Return what decides the answers beside the requests; None where foreign code takes part."""
        read = validate_options(Options, options)
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

    def _load(self) -> tuple[Any, Any]:
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging

        register_own(self._name)
        logging.disable_progress_bar()
        common = {"revision": self.options.revision, "trust_remote_code": self.options.trust_remote_code}
        extra: dict[str, Any] = (
            {"attn_implementation": self.options.attention} if self.options.attention else {}
        )
        extra |= self._placing()
        try:
            with _quiet():  # what it would warn of, weights that do not fit, is an error below
                processor = AutoProcessor.from_pretrained(self._name, **common)
                loaded: Any = AutoModelForImageTextToText.from_pretrained(
                    self._name,
                    dtype=self.dtype,
                    use_safetensors=True,
                    output_loading_info=True,
                    **common,
                    **extra,
                )
        except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            # transformers reports a wrong checkpoint in any of these; its words say which file or package.
            raise UserError(
                f"--model transformers/{self._name}: cannot be loaded as an image-text-to-text model: "
                f"{' '.join(str(error).split())[:400]}"
            ) from error
        model, info = loaded
        refuse_misfits(f"--model transformers/{self._name}", model, info)
        self.unused_weights = len(info["unexpected_keys"])
        if not self.options.device_map:
            model = self._move(model)
        elif model.device.type != "meta":  # which the weights on the disk are
            self.device = model.device
        return processor, model.eval()

    def _move(self, model: Any) -> Any:
        try:
            return model.to(self.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"--model transformers/{self._name}: does not fit into the memory of {self.device} as "
                f"{self.dtype}; give -M device_map=auto, or a narrower -M dtype"
            ) from error

    def _configs(self) -> tuple[Any, Any]:
        return self.model.config, self.model.config.get_text_config()

    def _placing(self) -> dict[str, Any]:
        """Return what `from_pretrained` is told of places; torch's devices have numbers, JSON's names are text."""
        if not self.options.device_map:
            return {}
        named = {
            "device_map": self.options.device_map,
            "max_memory": {
                int(place) if place.isdigit() else place: size
                for place, size in (self.options.max_memory or {}).items()
            },
            "offload_folder": self.options.offload_folder,
        }
        return {name: value for name, value in named.items() if value}

    def describe(self) -> dict[str, Any]:
        """Return what determines the responses beside the requests."""
        import transformers

        config = self.model.config
        return {
            "backend": "transformers",
            "name": self._name,
            "class": type(self.model).__name__,
            "model_type": config.model_type,
            "revision": getattr(config, "_commit_hash", None) or self.options.revision,
            "unused_weights": self.unused_weights,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            # Which of several GPUs it was is nothing that a run with another number of processes could repeat.
            "device": self.device.type if self.options.device == "auto" else str(self.device),
            "device_map": self.options.device_map,
            "dtype": str(self.dtype).removeprefix("torch."),
            "attention": getattr(config, "_attn_implementation", None),
            "chat_template": self._has_template,
            "processor": type(self.processor).__name__,
            "max_pixels": self.options.max_pixels,
            "settings_set_aside": self.set_aside,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def usage(self) -> dict[str, int | float]:
        """Return how often a batch had to be taken apart, and why; nothing where none had to be."""
        return dict(self.counts)

    def find_batch_size(self, largest: Callable[[], Sequence[Request]]) -> int | None:
        """Return how many requests fit the device's memory at once: all of `largest`, or half, a quarter, … of them.

        Each size is tried with the largest requests, and with answers as long as the run allows, since the cache
        grows with them. None on a CPU, where memory seldom is what bounds a batch, and where it does, trying would
        end in swapping or in the kernel's killing the process.
        """
        if self.device.type in UNTRIED_DEVICES or not (requests := largest()):
            return None

        def attempt(size: int) -> None:
            self._run(requests[:size], min_new_tokens=requests[0].decoding.max_new_tokens)

        try:
            return largest_fitting(attempt, len(requests))
        except Exception as error:
            if isinstance(error, UserError) or is_device_lost(error):
                raise
            return None  # some request fails by itself; the run will say which

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Answer one batch; the requests of a batch share one decoding, but for the seed.

        A batch that does not fit, or in which a request makes the model or its processor fail, is answered in parts.
        """
        decoding = requests[0].decoding
        if any(replace(request.decoding, seed=decoding.seed) != decoding for request in requests):
            raise ValueError("the requests of a batch must share one decoding, but for the seed")
        return answer_in_parts(self._answer, requests, self.counts)

    def _answer(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]] | None = None
    ) -> list[Response]:
        rows, prompt_tokens, logprobs = self._run(requests, given)
        begun = given or [()] * len(requests)
        return [
            to_response(
                request,
                [*first, *row],
                stops=self._ids["eos_token_id"],
                tokenizer=self._tokenizer,
                prompt_tokens=asked - len(first),
                logprobs=logs,
            )
            for request, first, row, asked, logs in zip(
                requests, begun, rows, prompt_tokens, logprobs, strict=True
            )
        ]

    def _run(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]] | None = None, **settings: Any
    ) -> tuple[list[list[int]], list[int], list[list[float]] | list[None]]:
        """Return for each request the new tokens, the number of tokens it was asked in, and log-probabilities.

        The tokens of an answer that are `given` count among those it was asked in, and have no log-probabilities.
        """
        decoding = requests[0].decoding
        inputs = self._inputs(requests)
        if given is not None:
            inputs = interview.edit(inputs, [interview.Edit(insert=tokens) for tokens in given], self.pad_id)
        processors: list[Any] = []
        gathered = TokenLogprobs() if self.options.logprobs and given is None else None
        if gathered is not None:
            processors.append(gathered)
        processors += contrasting(self, requests)
        if decoding.sampled:
            seeds = [request.decoding.seed for request in requests]
            processors.append(RowwiseSampling(seeds, decoding.temperature, decoding.top_p))
        with torch.inference_mode():
            sequences = self.model.generate(
                **inputs,
                generation_config=neutral_settings(decoding.max_new_tokens, self._ids, **settings),
                logits_processor=processors,
            )
        new = sequences[:, self._answer_start(inputs["input_ids"], sequences) :].tolist()
        logprobs = [None] * len(requests) if gathered is None else gathered.finish(sequences)
        return new, inputs["attention_mask"].sum(dim=1).tolist(), logprobs

    def _answer_start(self, prompts: torch.Tensor, sequences: torch.Tensor) -> int:
        """Return the column at which answers begin: after the prompt, unless the model returns the answer alone.

        Encoder-decoder models do, after a start token.
        """
        width = prompts.shape[1]
        if torch.equal(sequences[:, :width], prompts.to(sequences.device)):
            return width
        return int(self._encodes)

    def _inputs(self, requests: Sequence[Request]) -> Any:
        requests = [replace(r, image=fit_pixels(r.image, self.options.max_pixels)) for r in requests]
        if self._has_template:
            inputs = self._render([self._messages(request) for request in requests])
        else:
            prompts = [request.prompt for request in requests]
            inputs = self._plain_inputs(prompts, [request.image for request in requests])
        return inputs.to(self.device, self.dtype)

    def _text_inputs(self, requests: Sequence[Request]) -> Any:
        if self._has_template:
            inputs = self._render([self._messages(request, picture=False) for request in requests])
        else:
            prompts = [request.prompt for request in requests]
            inputs = self._tokenizer(prompts, padding=True, return_tensors="pt")
        return inputs.to(self.device)

    def _render(self, conversations: list[list[dict[str, Any]]]) -> Any:
        return self.processor.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
            **self._template_options,
        )

    def _plain_inputs(self, prompts: Sequence[str], images: Sequence[Image.Image]) -> Any:
        texts = [f"{self._image_marker}{prompt}" for prompt in prompts]
        with _quiet():  # PaliGemma's processor says at each call that it puts the image tokens in itself
            return self.processor(
                text=texts, images=[[image] for image in images], padding=True, return_tensors="pt"
            )

    def _messages(self, request: Request, picture: bool = True) -> list[dict[str, Any]]:
        image = [{"type": "image", "image": request.image}] if picture else []
        content = [*image, {"type": "text", "text": request.prompt}]
        system = [{"role": "system", "content": [{"type": "text", "text": self.options.system}]}]
        return [*(system if self.options.system else []), {"role": "user", "content": content}]

    def _find_image_marker(self) -> str:
        """Return what must stand before a prompt of a model without a chat template.

        Some processors put the image tokens in themselves (BLIP-2), others want the marker in the text.
        """
        token = getattr(self.processor, "image_token", None)
        if token is None:
            return ""
        token = getattr(token, "content", token)
        image_id = getattr(self.model.config, "image_token_id", None)
        probe = Image.new("RGB", (32, 32))
        self._image_marker = ""
        try:
            ids = self._plain_inputs(["a"], [probe])["input_ids"]
        except ValueError:  # "the number of images in the text and the images given must be the same"
            return f"{token}\n"
        return "" if image_id is None or bool((ids == image_id).any()) else f"{token}\n"

    def _generation_ids(self) -> dict[str, Any]:
        ids = own_ids(self.model)
        eos = ids["eos_token_id"] if ids["eos_token_id"] is not None else self._tokenizer.eos_token_id
        ids["eos_token_id"] = [] if eos is None else list(eos) if isinstance(eos, (list, tuple)) else [eos]
        if ids["pad_token_id"] is None:
            ids["pad_token_id"] = self._tokenizer.pad_token_id
        return ids


def _check_placing(options: Options) -> None:
    if options.device_map and options.device != "auto":
        raise UserError(
            f"-M device={options.device}: -M device_map says where the model goes; give one of them"
        )
    for name in ("max_memory", "offload_folder"):
        if getattr(options, name) is not None and not options.device_map:
            raise UserError(f"-M {name}={getattr(options, name)}: goes with -M device_map only")


@contextmanager
def _quiet() -> Iterator[None]:
    """Let transformers say nothing but errors."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
