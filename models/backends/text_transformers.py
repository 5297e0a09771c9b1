"""Encoder-decoder and causal language models of transformers: batches of prompts, greedy decoding."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.models.backends.registry import ModelReference
from eidolon.models.base.checkpoint_files import hash_files, local_files, resolve_checkpoint
from eidolon.models.base.shipped import RECIPE, TRAINED_ON, shipped_judges
from eidolon.models.generation.generated_text import split_reasoning
from eidolon.scorers.core.distribution import require_packages
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.language_model import Reply
from eidolon.scorers.core.signature import HASH_DIGITS

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig

DTYPES = ("auto", "float32", "bfloat16", "float16")
BATCH_SIZE = 64
PACKAGES = ("torch", "transformers")
"""Packages of the extra `models`, which a reply needs."""
KEPT_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""The only fields that are taken from a model's own generation_config."""


class TransformersText:
    """A language model by path or hub name. Constructing it loads nothing.

    A chat model gets the prompt in a user's turn, with its thinking mode off; other models get the plain prompt.
    """

    @classmethod
    def resolve(cls, target: str, given: str) -> str:
        """Return the folder or hub id of a checkpoint.

        Raises:
            UserError: there is no such checkpoint.
        """
        return resolve_checkpoint(given, target, shipped_judges())

    def __init__(
        self,
        reference: ModelReference,
        name: str,
        *,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: str = str(BATCH_SIZE),
    ) -> None:
        """Check the options. `dtype` auto is float32 on a CPU, elsewhere bfloat16 or, if unsupported, float16.

        Raises:
            UserError: an option is invalid, the folder is not a language model's, or a package is missing.
        """
        self.name = name
        self._reference = reference
        self._given = f"-J models={reference.text}"
        if dtype not in DTYPES:
            raise UserError(f"-J dtype={dtype}: unknown dtype{did_you_mean(dtype, DTYPES)}")
        if not (batch_size.isascii() and batch_size.isdigit() and int(batch_size) > 0):
            raise UserError(f"-J batch_size={batch_size}: must be a whole number above 0")
        self._dtype, self._device_name, self.batch_size = dtype, device, int(batch_size)
        _check_folder(Path(reference.target), self._given)
        require_packages(self._given, *PACKAGES)
        self._loaded: _Loaded | None = None

    def signature(self) -> str:
        """Return the name with a hash of the local files, or the full hub name, without a hash."""
        digest = hash_files(local_files(self._reference.target))
        found = self._reference.target if digest is None else f"{self.name}#{digest[:HASH_DIGITS]}"
        return found if self._dtype == "auto" else f"{found}:{self._dtype}"

    @property
    def trained_on(self) -> str | None:
        """The dataset that a checkpoint of `eidolon train` knows alone; None for other checkpoints."""
        return TRAINED_ON if os.path.isfile(Path(self._reference.target) / RECIPE) else None

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        """Return one reply per prompt, in order. Prompts of similar length share a batch. `schema` is not enforced.

        A prompt that is longer than the model's context gets an error.

        Raises:
            UserError: the model cannot be loaded, or a batch does not fit into memory.
        """
        if not prompts:
            return []
        if self._loaded is None:
            self._loaded = _Loaded(self._reference.target, self._given, self._dtype, self._device_name)
        return self._loaded.reply(prompts, max_new_tokens, self.batch_size)


class _Loaded:
    """The weights and the tokenizer, on their device."""

    def __init__(self, target: str, given: str, dtype: str, device: str) -> None:
        from eidolon.models.base.devices import choose_device, choose_dtype

        self._given = given
        self.device = choose_device(device, "-J")
        self.tokenizer, self.model = _load(target, given, choose_dtype(dtype, self.device))
        self.model = self.model.to(self.device).eval()
        self.encoder_decoder = bool(self.model.config.is_encoder_decoder)
        own = self.model.generation_config
        self._ids = {name: getattr(own, name, None) for name in KEPT_IDS}
        for name, value in (
            ("eos_token_id", self.tokenizer.eos_token_id),
            ("pad_token_id", _first(self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)),
            ("decoder_start_token_id", getattr(self.model.config, "decoder_start_token_id", None)),
        ):
            if self._ids[name] is None:
                self._ids[name] = value
        # The other fields of the checkpoint's own generation_config must have no effect.
        self.model.generation_config = self._generation_config(1)
        self._template = self.tokenizer.chat_template
        # Other templates would not accept the switch.
        self._template_options = (
            {"enable_thinking": False} if "enable_thinking" in str(self._template) else {}
        )
        limit = getattr(self.model.config, "max_position_embeddings", None)
        self._limit: int | None = None if self.encoder_decoder else limit

    def reply(self, prompts: Sequence[str], max_new_tokens: int, batch_size: int) -> list[Reply]:
        rows: list[list[int]] = self.tokenizer(
            [self._text(prompt) for prompt in prompts],
            add_special_tokens=not self._template,
            verbose=False,
        )["input_ids"]
        replies: list[Reply | None] = [self._too_long(row, max_new_tokens) for row in rows]
        # The longest first, so that lack of memory shows at once.
        order = sorted((i for i, reply in enumerate(replies) if reply is None), key=lambda i: -len(rows[i]))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for i, text in zip(batch, self._generate([rows[i] for i in batch], max_new_tokens), strict=True):
                replies[i] = Reply(split_reasoning(text).text if self._template else text)
        return [reply for reply in replies if reply is not None]

    def _text(self, prompt: str) -> str:
        if not self._template:
            return prompt
        text: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            tokenize=False,
            **self._template_options,
        )
        return text

    def _too_long(self, row: Sequence[int], max_new_tokens: int) -> Reply | None:
        if self._limit is None or len(row) + max_new_tokens <= self._limit:
            return None
        return Reply(
            None, f"a prompt of {len(row)} tokens is too long for the model, which reads {self._limit}"
        )

    def _generate(self, rows: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
        import torch

        width = max(map(len, rows))
        filler = self._ids["pad_token_id"] or 0
        ids = [self._pad(row, [filler] * (width - len(row))) for row in rows]
        mask = [self._pad([1] * len(row), [0] * (width - len(row))) for row in rows]
        try:
            with torch.inference_mode():
                sequences: torch.Tensor = self.model.generate(
                    input_ids=torch.tensor(ids, device=self.device),
                    attention_mask=torch.tensor(mask, device=self.device),
                    generation_config=self._generation_config(max_new_tokens),
                )
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{self._given}: {len(rows)} prompts of {width} tokens do not fit into the memory of "
                f"{self.device}; give a smaller -J batch_size="
            ) from error
        skip = 1 if self.encoder_decoder else width
        texts: list[str] = self.tokenizer.batch_decode(sequences[:, skip:], skip_special_tokens=True)
        return texts

    def _pad(self, row: Sequence[int], fill: Sequence[int]) -> list[int]:
        """Pad a causal model's prompt on the left, because its answer starts at the end of the prompt."""
        return [*row, *fill] if self.encoder_decoder else [*fill, *row]

    def _generation_config(self, max_new_tokens: int) -> "GenerationConfig":
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            use_cache=True,
            **{name: value for name, value in self._ids.items() if value is not None},
        )


def _first(value: int | None, other: int | list[int] | None) -> int | None:
    return value if value is not None else other[0] if isinstance(other, list) else other


def _load(target: str, given: str, dtype: "torch.dtype") -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    # It would warn of weights that do not fit, which is an error below.
    logging.set_verbosity_error()
    try:
        # Without trust_remote_code, transformers would ask at the terminal.
        config = AutoConfig.from_pretrained(target, trust_remote_code=False)
        kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        tokenizer = AutoTokenizer.from_pretrained(target, trust_remote_code=False)
        loaded: Any = kind.from_pretrained(
            target, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, ImportError, KeyError, SafetensorError) as error:
        # transformers reports a wrong checkpoint by any of these; the message names the file or package.
        raise UserError(
            f"{given}: cannot be loaded as a language model: {' '.join(str(error).split())[:400]}"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    model, info = loaded
    for what in ("missing_keys", "mismatched_keys"):
        if keys := info[what]:
            raise UserError(
                f"{given}: {what.replace('_keys', '')} weights that {type(model).__name__} needs: "
                f"{sorted(map(str, keys))[0]} and {len(keys) - 1} more; is it a model of another class?"
            )
    return tokenizer, model


def _check_folder(path: Path, given: str) -> None:
    """Raise a UserError for a folder that is not a language model, before hours of other work."""
    if not path.is_dir():
        return
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{given}: its config.json cannot be read ({error})") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise UserError(f"{given}: its config.json names no model_type")
    if not any(path.glob("*.safetensors")):
        raise UserError(f"{given}: {path} holds no weights (*.safetensors)")
    if not any(path.glob("tokenizer*")) and not any(path.glob("spiece.model")):
        raise UserError(f"{given}: {path} holds no tokenizer")
