"""The `-M key=value` options of the transformers backend."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from eidolon.scorers.core.errors import UserError

DeviceName = int | str


def _from_json(value: object) -> object:
    """Return the value of a JSON object's text; other text unchanged."""
    try:
        return json.loads(value) if isinstance(value, str) and value.lstrip().startswith("{") else value
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from error


class TransformersOptions(BaseModel):
    """The options; `device_map` and those after it are for models that are too large for one device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = "auto"
    """`auto`: the first CUDA device, else Apple's, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: float32 on a CPU; elsewhere bfloat16 if the device supports it, else float16."""
    revision: str = "main"
    """Branch, tag or commit of a Hub repository."""
    trust_remote_code: bool = False
    """Run code from the checkpoint."""
    attention: str | None = None
    """An attention implementation of transformers (`eager`, `sdpa`, …); None uses its default."""
    thinking: bool = False
    """Turn on the thinking mode of models that have one. The thinking block is recorded apart from the answer."""
    system: str | None = None
    """A system message."""
    max_pixels: int | None = Field(default=None, ge=1)
    """Most pixels of an image. A larger one is scaled down, with its aspect ratio, before the model's processor."""
    logprobs: bool = False
    """Record the log-probability of every generated token."""
    device_map: Annotated[
        Literal["auto", "balanced", "balanced_low_0", "sequential"] | dict[str, DeviceName] | None,
        BeforeValidator(_from_json),
    ] = None
    """Spread the model over devices, as accelerate does: a rule, or a JSON object with a device, `cpu` or `disk` for
    each module. It replaces `device`."""
    max_memory: Annotated[dict[str, DeviceName] | None, BeforeValidator(_from_json)] = None
    """With `device_map`: a JSON object with the memory limit of each device, `{"0": "20GiB", "cpu": "60GiB"}`."""
    offload_folder: str | None = None
    """With `device_map`: the folder for weights that are mapped to `disk`."""

    def check_placement(self) -> None:
        """Check that the options about devices go together.

        Raises:
            UserError: they do not.
        """
        if self.device_map and self.device != "auto":
            raise UserError(
                f"-M device={self.device}: -M device_map sets the devices of the model; give one of them"
            )
        needs_map = {"max_memory": self.max_memory, "offload_folder": self.offload_folder}
        for name, value in needs_map.items():
            if value is not None and not self.device_map:
                raise UserError(f"-M {name}={value}: needs -M device_map")

    def placement(self) -> dict[str, Any]:
        """Return the keyword arguments of `from_pretrained` about devices; none without `device_map`."""
        if not self.device_map:
            return {}
        arguments = {
            "device_map": self.device_map,
            # Names in JSON are text, but torch numbers its devices.
            "max_memory": {
                int(device) if device.isdigit() else device: size
                for device, size in (self.max_memory or {}).items()
            },
            "offload_folder": self.offload_folder,
        }
        return {name: value for name, value in arguments.items() if value}
