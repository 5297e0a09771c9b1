"""Loading of checkpoints that annotate: options, the device, one-line messages, and what decides the numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    import torch


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class EncoderOptions:
    """The options `-M key=value` of a checkpoint that annotates."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    revision: str = "main"
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A processor and its model, in evaluation mode on a device."""

    processor: Any
    model: Any
    device: "torch.device"
    dtype: "torch.dtype"
    identity: dict[str, Any]
    """What decides the numbers, JSON-ready: the files or the commit, the precision, the device, the versions."""


def load(given: str, name: str, options: EncoderOptions, model_class: str, processor_class: str) -> Loaded:
    """Load a checkpoint by path or hub id with an Auto class of transformers.

    `given` is what the user wrote, to start messages with: `--with clip/NAME`.

    Raises:
        UserError: it cannot be loaded as such a model, or lacks weights.
    """
    import transformers
    from safetensors import SafetensorError

    from eidolon.models.backends.transformers_loading import quiet
    from eidolon.models.base.checkpoint_files import file_sha256
    from eidolon.models.base.devices import choose_device, choose_dtype, device_identity
    from eidolon.models.base.identity import checkpoint_identity, versions
    from eidolon.models.base.weights import refuse_misfits

    device = choose_device(options.device, "-M")
    dtype = choose_dtype(options.dtype, device)
    common = {"revision": options.revision, "trust_remote_code": options.trust_remote_code}
    transformers.utils.logging.disable_progress_bar()
    try:
        with quiet():
            processor = getattr(transformers, processor_class).from_pretrained(name, **common)
            model, info = getattr(transformers, model_class).from_pretrained(
                name, dtype=dtype, use_safetensors=True, output_loading_info=True, **common
            )
    except (OSError, ValueError, ImportError, KeyError, SafetensorError) as error:
        raise UserError(
            f"{given}: cannot be loaded with {model_class}: {' '.join(str(error).split())[:400]}"
        ) from error
    refuse_misfits(given, model, info)
    found = checkpoint_identity(name, options.revision, file_sha256) or {"name": name}
    identity = {
        "checkpoint": found,
        "class": type(model).__name__,
        "dtype": str(dtype).removeprefix("torch."),
        **device_identity(device),
        "versions": versions(),
    }
    return Loaded(processor, model.to(device).eval(), device, dtype, identity)


def on_device(inputs: Any, loaded: Loaded) -> dict[str, Any]:
    """Return a processor's output on the model's device, with real numbers in its precision."""
    import torch

    moved = {}
    for key, value in inputs.items():
        if isinstance(value, torch.Tensor):
            moved[key] = value.to(loaded.device, loaded.dtype if value.is_floating_point() else None)
    return moved
