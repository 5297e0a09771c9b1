"""Loading a checkpoint of transformers: its processor, and its model on the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError

from eidolon.models.backends.transformers_options import TransformersOptions
from eidolon.models.base.weights import refuse_misfits
from eidolon.models.generation.recovery import is_out_of_memory
from eidolon.models.memory.registering import register_own
from eidolon.scorers.core.errors import UserError


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """A processor and its model."""

    processor: Any
    model: Any
    """The `torch.nn.Module`, in evaluation mode."""
    device: torch.device
    """Where the inputs must be."""
    unused_weights: int = 0
    """Weights of the checkpoint that the model has no place for."""


def load_checkpoint(
    name: str, options: TransformersOptions, device: torch.device, dtype: torch.dtype
) -> LoadedCheckpoint:
    """Load a checkpoint by path or hub id with `AutoProcessor` and `AutoModelForImageTextToText`.

    Raises:
        UserError: transformers cannot load it as such a model, weights are missing, or it does not fit the device.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    given = f"--model transformers/{name}"
    register_own(name)
    logging.disable_progress_bar()
    common = {"revision": options.revision, "trust_remote_code": options.trust_remote_code}
    extra: dict[str, Any] = {"attn_implementation": options.attention} if options.attention else {}
    try:
        with quiet():  # it would warn of weights that do not fit, which is an error below
            processor = AutoProcessor.from_pretrained(name, **common)
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                name,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                **common,
                **extra,
                **options.placement(),
            )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        # transformers reports a wrong checkpoint by any of these; the message names the file or package.
        raise UserError(
            f"{given}: cannot be loaded as an image-text-to-text model: {' '.join(str(error).split())[:400]}"
        ) from error
    model, info = loaded
    refuse_misfits(given, model, info)
    if not options.device_map:
        model = _move(given, model, device, dtype)
    elif model.device.type != "meta":  # weights on the disk are on this device
        device = model.device
    return LoadedCheckpoint(processor, model.eval(), device, len(info["unexpected_keys"]))


def _move(given: str, model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    try:
        return model.to(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"{given}: does not fit into the memory of {device} as {dtype}; give -M device_map=auto, or a narrower "
            "-M dtype"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Let transformers log errors only."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
