"""Language models of transformers by name: encoder-decoders and causal models, folders, hub names and GGUF files."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.models.backends.registry import ModelReference
from eidolon.models.backends.text_loading import (
    check_folder,
    is_encoder_decoder,
    is_gguf,
)
from eidolon.models.base.checkpoint_files import hash_files, local_files, resolve_checkpoint
from eidolon.models.base.shipped import RECIPE, TRAINED_ON, shipped_judges
from eidolon.scorers.core.distribution import install, require_packages
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import user_path
from eidolon.scorers.core.language_model import AnswerRule, Reply, YesNoOdds
from eidolon.scorers.core.signature import HASH_DIGITS

if TYPE_CHECKING:
    from eidolon.models.backends.text_loaded import Decided, LoadedText

DTYPES = ("auto", "float32", "bfloat16", "float16")
BATCH_SIZE = 64
PACKAGES = ("torch", "transformers")
"""Packages of the extra `models`, which a reply needs."""
GGUF = ".gguf"


class TransformersText:
    """A language model by path or hub name. Constructing it loads nothing.

    A chat model gets the prompt in a user's turn, with its thinking mode off; other models get the plain prompt.
    """

    @classmethod
    def resolve(cls, target: str, given: str) -> str:
        """Return the folder or hub id of a checkpoint, or the path of a GGUF file.

        Raises:
            UserError: there is no such checkpoint.
        """
        if target.lower().endswith(GGUF):
            path = user_path(target)
            if not path.is_file():
                raise UserError(f"{given}: no such file: {path}")
            return str(path)
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
        check_folder(Path(reference.target), self._given)
        require_packages(self._given, *PACKAGES)
        if is_gguf(reference.target) and find_spec("gguf") is None:
            raise UserError(f"{self._given}: a GGUF file needs the package gguf; {install('gguf')}")
        self._loaded: LoadedText | None = None

    def signature(self) -> str:
        """Return the name with a hash of the local files, or the full hub name, without a hash."""
        digest = hash_files(local_files(self._reference.target))
        found = self._reference.target if digest is None else f"{self.name}#{digest[:HASH_DIGITS]}"
        return found if self._dtype == "auto" else f"{found}:{self._dtype}"

    @property
    def answer_rule(self) -> AnswerRule:
        """`exact` for encoder-decoders, which THRONE's rule is made for; `odds` for causal models."""
        return "exact" if is_encoder_decoder(self._reference.target) else "odds"

    @property
    def trained_on(self) -> str | None:
        """The dataset that a checkpoint of `eidolon train` knows alone; None for other checkpoints."""
        return TRAINED_ON if os.path.isfile(Path(self._reference.target) / RECIPE) else None

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        """Return one reply per prompt, in order. Equal prompts are read once. `schema` is not enforced.

        A prompt that is longer than the model's context gets an error.

        Raises:
            UserError: the model cannot be loaded, or a batch does not fit into memory.
        """
        return self._reply(prompts, None, max_new_tokens)

    def reply_until(self, prompts: Sequence[str], decided: "Decided", *, max_new_tokens: int) -> list[Reply]:
        """Return replies as `reply` does, but a reply may end once `decided` is true of its text so far.

        Raises:
            UserError: as `reply`.
        """
        return self._reply(prompts, decided, max_new_tokens)

    def yes_no(self, prompts: Sequence[str]) -> list[YesNoOdds]:
        """Return log P(yes) - log P(no) of the first token of each reply, in order.

        Each word counts in all its spellings that are one token ("Yes", " yes"). The thinking of a reasoning model is
        off, as for `reply`.

        Raises:
            UserError: as `reply`, or the tokenizer has no single token for yes or no.
        """
        return self._load().yes_no(prompts) if prompts else []

    def _reply(self, prompts: Sequence[str], decided: "Decided | None", max_new_tokens: int) -> list[Reply]:
        return self._load().reply(prompts, decided, max_new_tokens) if prompts else []

    def _load(self) -> "LoadedText":
        from eidolon.models.backends.text_loaded import LoadedText

        if self._loaded is None:
            self._loaded = LoadedText(
                self._reference.target, self._given, self._dtype, self._device_name, self.batch_size
            )
        return self._loaded
