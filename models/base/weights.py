"""Checks that a checkpoint has all weights of its model. Missing weights would be random without an error."""

from collections.abc import Mapping
from typing import Any

from eidolon.scorers.core.errors import UserError


def refuse_misfits(given: str, model: object, info: Mapping[str, Any]) -> None:
    """Check transformers' loading info. `given` is what the user wrote, to start the message with.

    Raises:
        UserError: weights are missing or have another shape.
    """
    misfits = {
        "lacks weights": info["missing_keys"],
        "holds weights of another shape": info["mismatched_keys"],
    }
    for what, keys in misfits.items():
        if keys:
            raise UserError(
                f"{given}: {what} that {type(model).__name__} needs: "
                f"{sorted(map(str, keys))[0]} and {len(keys) - 1} more; is it a model of another class?"
            )


def check_weights(given: str, name_or_path: str, *, revision: str) -> int | None:
    """Compare the names and shapes of a checkpoint's weights with the model's, without reading the weights.

    Returns how many weights have no place in the model. None if that is unknown, because transformers does not know
    the model or the packing of its weights. `given` is what the user wrote, to start the message with.

    Raises:
        UserError: weights are missing or have another shape.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    # Without trust_remote_code, transformers would ask at the terminal.
    common: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        config: Any = AutoConfig.from_pretrained(name_or_path, **common)
        if getattr(config, "quantization_config", None) is not None:
            return None
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            name_or_path, use_safetensors=True, device_map="meta", output_loading_info=True, **common
        )
    except Exception:  # loading the model will report it
        return None
    model, info = loaded
    refuse_misfits(given, model, info)
    return len(info["unexpected_keys"])
