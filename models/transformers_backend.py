"""Any image-text-to-text model of transformers, batched, with every generation setting explicit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError

from eidolon.models.base import Decoding, FileDigest, Request
from eidolon.models.devices import choose_device, choose_dtype, device_identity
from eidolon.models.generated_text import to_response
from eidolon.models.identity import checkpoint_identity, versions
from eidolon.models.m3id import check_contrast, contrasting
from eidolon.models.options import validate_options
from eidolon.models.sampling import RowwiseSampling
from eidolon.models.weights import refuse_misfits
from eidolon.scorers.errors import UserError
from eidolon.scorers.types import Response

if TYPE_CHECKING:
    from transformers import GenerationConfig

KEPT_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""All that is taken over from a model's own generation_config."""


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


class TransformersModel:
    """A model loaded with `AutoModelForImageTextToText` and its `AutoProcessor`."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        """Load a checkpoint by path or hub id.

        Raises:
            UserError: an unknown or ill-typed option, or a checkpoint that cannot be loaded as such a model.
        """
        self._name = name_or_path
        self.options = validate_options(Options, options)
        self.device = choose_device(self.options.device, "-M")
        self.dtype = choose_dtype(self.options.dtype, self.device)
        self.processor, self.model = self._load()
        self._tokenizer = getattr(self.processor, "tokenizer", self.processor)
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._ids = self._generation_ids()
        # Whatever else the checkpoint's own generation_config says must not reach a result.
        self.model.generation_config = self._generation_config(Decoding().max_new_tokens)
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
        """Return what the model is called with for a batch, on its device, padded on the left.

        Without `pictures` the same is rendered as if the requests had none.
        """
        return self._inputs(requests) if pictures else self._text_inputs(requests)

    def check_decoding(self, decoding: Decoding) -> None:
        """Raise a UserError for a decoding that the model's architecture cannot have."""
        check_contrast(self, decoding)

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

        logging.disable_progress_bar()
        verbosity = logging.get_verbosity()
        # What it would warn of, weights that do not fit, is an error below.
        logging.set_verbosity_error()
        common = {"revision": self.options.revision, "trust_remote_code": self.options.trust_remote_code}
        extra = {"attn_implementation": self.options.attention} if self.options.attention else {}
        try:
            processor = AutoProcessor.from_pretrained(self._name, **common)
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                self._name,
                dtype=self.dtype,
                use_safetensors=True,
                output_loading_info=True,
                **common,
                **extra,
            )
        except (OSError, ValueError, ImportError, KeyError, SafetensorError) as error:
            # transformers reports a wrong checkpoint in any of these; its words say which file or package.
            raise UserError(
                f"--model transformers/{self._name}: cannot be loaded as an image-text-to-text model: "
                f"{' '.join(str(error).split())[:400]}"
            ) from error
        finally:
            logging.set_verbosity(verbosity)
        model, info = loaded
        refuse_misfits(f"--model transformers/{self._name}", model, info)
        self.unused_weights = len(info["unexpected_keys"])
        return processor, model.to(self.device).eval()

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
            "dtype": str(self.dtype).removeprefix("torch."),
            "attention": getattr(config, "_attn_implementation", None),
            "chat_template": self._has_template,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Answer one batch; the requests of a batch share one decoding, but for the seed."""
        decoding = requests[0].decoding
        seeds = [request.decoding.seed for request in requests]
        if any(replace(request.decoding, seed=decoding.seed) != decoding for request in requests):
            raise ValueError("the requests of a batch must share one decoding, but for the seed")
        inputs = self._inputs(requests)
        width = inputs["input_ids"].shape[1]
        sampling = [RowwiseSampling(seeds, decoding.temperature, decoding.top_p)] if decoding.sampled else []
        with torch.inference_mode():
            sequences = self.model.generate(
                **inputs,
                generation_config=self._generation_config(decoding.max_new_tokens),
                logits_processor=[*contrasting(self, requests), *sampling],
            )
        # Encoder-decoder models return the answer alone, after a start token.
        skip = 1 if getattr(self.model.config, "is_encoder_decoder", False) else width
        prompt_tokens = inputs["attention_mask"].sum(dim=1).tolist()
        for request, row, asked in zip(requests, sequences[:, skip:].tolist(), prompt_tokens, strict=True):
            yield self._response(request, row, asked)

    def _response(self, request: Request, row: list[int], prompt_tokens: int) -> Response:
        stops = self._ids["eos_token_id"]
        return to_response(request, row, stops=stops, tokenizer=self._tokenizer, prompt_tokens=prompt_tokens)

    def _inputs(self, requests: Sequence[Request]) -> Any:
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
        own = self.model.generation_config
        ids = {name: getattr(own, name, None) for name in KEPT_IDS}
        eos = ids["eos_token_id"] if ids["eos_token_id"] is not None else self._tokenizer.eos_token_id
        ids["eos_token_id"] = [] if eos is None else list(eos) if isinstance(eos, (list, tuple)) else [eos]
        if ids["pad_token_id"] is None:
            ids["pad_token_id"] = self._tokenizer.pad_token_id
        return ids

    def _generation_config(self, max_new_tokens: int) -> "GenerationConfig":
        """Return settings of greedy search: where a run samples, `RowwiseSampling` leaves it one token a row."""
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            use_cache=True,
            **{name: value for name, value in self._ids.items() if value not in (None, [])},
        )
