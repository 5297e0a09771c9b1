"""Writes and reads the checkpoint of a small encoder: `config.json` and `model.safetensors`."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from torch import nn

from eidolon.models.base.shipped import CHECKPOINTS, NOT_INSTALLED
from eidolon.scorers.core.errors import UserError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
Architecture = TypeVar("Architecture", bound=BaseModel)
Network = TypeVar("Network", bound=nn.Module)


def save_encoder(folder: Path, architecture: BaseModel, network: nn.Module) -> None:
    """Write the configuration, and the weights in half precision."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(architecture.model_dump_json(indent=2) + "\n")
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS)


def load_encoder(
    folder: Path, architecture: type[Architecture], make: Callable[[Architecture], Network], noun: str
) -> Network:
    """Return the network of a checkpoint folder. `noun` is what messages call it, as "aligner".

    Raises:
        UserError: the folder does not exist, is of another kind of model, or its files do not fit each other.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if folder.is_relative_to(CHECKPOINTS) and not CHECKPOINTS.is_dir():
        raise UserError(f"{noun}: {NOT_INSTALLED}")
    try:
        found = architecture.model_validate_json((folder / CONFIG).read_text(encoding="utf-8"))
        network = make(found)
        network.load_state_dict(load_file(folder / WEIGHTS))
    except OSError as error:
        raise UserError(f"{noun} {folder}: {error.strerror or error}; give the folder of one") from error
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise UserError(f"{noun} {folder / CONFIG}: is not the configuration of one ({problem})") from error
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{noun} {folder / WEIGHTS}: does not fit {CONFIG} ({reason})") from error
    return network
