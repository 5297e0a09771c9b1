"""Whether a checkpoint holds the weights that its model wants: what is missing would be random, and go unnoticed."""

from collections.abc import Mapping
from typing import Any

from eidolon.scorers.core.errors import UserError


def refuse_misfits(given: str, model: object, info: Mapping[str, Any]) -> None:
    """Raise a UserError for weights that are missing or of another shape, by transformers' loading info."""
    misfits = {
        "lacks weights": info["missing_keys"],
        "holds weights of another shape": info["mismatched_keys"],
    }
    for what, keys in misfits.items():
        if keys:
            raise UserError(
                f"{given}: {what} that {type(model).__name__} wants: "
                f"{sorted(map(str, keys))[0]} and {len(keys) - 1} more; is it a model of another class?"
            )


def check_weights(given: str, name_or_path: str, *, revision: str) -> int | None:
    """Compare the names and shapes of a checkpoint's weights with the model's, reading none of them.

    Returns how many weights have no place in the model, or None where nobody can say: transformers may not know the
    model, or not how its weights are packed. Raises a UserError, beginning with what the user gave, for weights that
    do not fit.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    # Said, for else transformers asks at the terminal.
    common: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        config: Any = AutoConfig.from_pretrained(name_or_path, **common)
        if getattr(config, "quantization_config", None) is not None:
            return None
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            name_or_path, use_safetensors=True, device_map="meta", output_loading_info=True, **common
        )
    except Exception:  # whatever is wrong with it, the one that is to run it will say
        return None
    model, info = loaded
    refuse_misfits(given, model, info)
    return len(info["unexpected_keys"])
