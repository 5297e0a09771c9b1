"""Loads a language model of transformers and its tokenizer, or says in one line why it cannot be loaded."""

import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    import torch

ENCODER_DECODERS = re.compile(
    r"(?:^|[/_-])(?:flan|m?t5|umt5|byt5|ul2|t0|bart|pegasus)(?:$|[_.-])", re.IGNORECASE
)
"""Names of encoder-decoders on the Hub."""


def load_language_model(target: str, given: str, dtype: "torch.dtype") -> tuple[Any, Any]:
    """Return the tokenizer and the model.

    Raises:
        UserError: the checkpoint cannot be loaded, or lacks weights that its class needs.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    folder: str = target
    options: dict[str, Any] = {}
    weights: dict[str, Any] = {"use_safetensors": True}
    if is_gguf(target):
        from transformers import GgufConfig

        folder, options = str(Path(target).parent), {"gguf_file": Path(target).name}
        # Plain weights: those of the file would be unpacked again for every prompt.
        weights = {"quantization_config": GgufConfig(dequantize=True)}
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    # It would warn of weights that do not fit, which is an error below.
    logging.set_verbosity_error()
    try:
        # Without trust_remote_code, transformers would ask at the terminal.
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
        kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
        loaded: Any = kind.from_pretrained(
            folder,
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
            **weights,
        )
    except (OSError, ValueError, ImportError, KeyError, struct.error, SafetensorError) as error:
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


def is_gguf(target: str) -> bool:
    """Tell whether a target is a GGUF file: weights and tokenizer of a causal model in one file."""
    return Path(target).suffix.lower() == ".gguf" and Path(target).is_file()


def is_encoder_decoder(target: str) -> bool:
    """Tell whether a model is an encoder-decoder, from its config.json or the name of a model on the Hub. Loads
    nothing."""
    try:
        config = json.loads((Path(target) / "config.json").read_bytes())
    except (OSError, ValueError):
        return ENCODER_DECODERS.search(target) is not None
    kind = str(config.get("model_type", "")) if isinstance(config, dict) else ""
    return bool(isinstance(config, dict) and config.get("is_encoder_decoder")) or "t5" in kind


def check_folder(path: Path, given: str) -> None:
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
