"""Keys of the response cache: hashes of everything that decides a response.

That is the model (`models.backends.registry.identity`), the pixels of the image, the prompt and the decoding. The ids
of the sample are not part of it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from eidolon.models.base.model import Request

if TYPE_CHECKING:
    from PIL import Image


def canonical(value: object) -> str:
    """Return the one JSON text of a value.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def model_id(identity: Mapping[str, Any]) -> str:
    """Return the hash of a model's identity, in hexadecimal."""
    return hashlib.sha256(canonical(identity).encode()).hexdigest()


def request_key(model: str, request: Request) -> bytes:
    """Return the key of a model's response to a request; `model` is a `model_id`.

    Every field of the decoding is part of the key. The seed is so only where sampling uses it, so that runs with other
    seeds share greedy responses.
    """
    decoding = asdict(request.decoding)
    if not request.decoding.sampled:
        del decoding["seed"]
    material = {
        "model": model,
        "picture": picture_hash(request.image),
        "prompt": request.prompt,
        "decoding": decoding,
        "is_question": request.is_question,
    }
    return hashlib.sha256(canonical(material).encode()).digest()


def picture_hash(image: "Image.Image") -> str:
    """Return a hash of mode, size, pixels, and the palette if there is one, in hexadecimal."""
    palette = image.getpalette("RGBA") if image.mode in ("P", "PA") else None
    shape = canonical([image.mode, image.size, palette, repr(image.info.get("transparency"))])
    digest = hashlib.sha256(shape.encode() + b"\0")
    digest.update(image.tobytes())
    return digest.hexdigest()
