"""A batch of requests without their pictures: what the branch that cannot see is fed.

`dropped`   the prompt has no picture in it: the chat rendered as if there had been none
`zeroed`    the prompt is as long as before, and what enters the language model where the picture stood is zero
`neutral`   a grey picture of the same size stands in for it
`shuffled`  another request's picture does

The first three look at nothing but their own request. The forms are not equivalent: `dropped` also takes away the
places of the image tokens, and with them all later positions; `zeroed` is an input that no model was trained on; the
last two are pictures, which say "grey" or name other objects.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from PIL import Image

from eidolon.models.base.model import Request
from eidolon.models.probing.token_reader import Reader
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import ImageId

if TYPE_CHECKING:
    from eidolon.models.backends.transformers import TransformersModel

Form = Literal["dropped", "zeroed", "neutral", "shuffled"]
FORMS: tuple[Form, ...] = get_args(Form)

PLACES = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "image_grid_thw")
"""What a processor says about places of tokens; the rest of its output is the picture."""
GREY = 0.5
"""Of a processor that normalises by no mean."""


def ablate(
    model: "TransformersModel", requests: Sequence[Request], form: Form, *, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Return the model's inputs for a batch without its pictures, in the order of the requests.

    `input_ids` and `attention_mask` are (batch, prompt), padded on the left; `zeroed` adds `inputs_embeds`, (batch,
    prompt, width), which the first forward pass takes in place of the ids. They go wherever the inputs with the
    picture go, for example to a `Reader` or to `teacher_forcing.force`. `seed` deals the pictures of `shuffled`.

    Raises:
        UserError: `shuffled`, where all requests are about one image.
    """
    if form == "dropped":
        return dict(model.prepare(requests, pictures=False))
    if form == "zeroed":
        return _zeroed(model, model.prepare(requests))
    if form == "neutral":
        return dict(model.prepare([_greyed(model, request) for request in requests]))
    donors = deal_pictures([request.image_id for request in requests], seed)
    dealt = [
        replace(request, image=requests[donor].image) for request, donor in zip(requests, donors, strict=True)
    ]
    return dict(model.prepare(dealt))


def check_form(model: "TransformersModel", form: Form) -> None:
    """Raise a UserError, which says why, for a form that the model's architecture cannot have."""
    network = model.model
    name = type(network).__name__
    if getattr(network.config, "is_encoder_decoder", False):
        raise UserError(
            f"without={form}: {name} is an encoder-decoder model; prompts without their picture are for "
            "decoder-only ones"
        )
    picture = Image.effect_noise((64, 64), 60).convert("RGB")
    request = Request("check", "check", picture, "Is there a cup?")
    if form == "zeroed":
        _check_entrance(network, name, model.prepare([request]))
    other = replace(request, sample_id="other", image_id="other", image=picture.rotate(90))
    try:
        # What a model makes of inputs that it was not made for shows only when it reads them.
        Reader(network, ablate(model, [request, other], form)).read_prompt()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"without={form}: {name} cannot read a prompt so ({type(error).__name__}: {reason}); give another form"
        ) from error


def deal_pictures(image_ids: Sequence[ImageId], seed: int) -> list[int]:
    """Return for each row the row whose picture it is dealt: never one of its own image, drawn by the seed.

    The rows stand in a circle that is drawn by the seed, those of one image together; each is dealt the picture of a
    row so far ahead that all of its own image are passed.
    """
    if len(set(image_ids)) < 2:
        raise UserError(
            f"without=shuffled: all {len(image_ids)} requests of the batch are about image {image_ids[0]!r}; "
            "give a larger batch or another form"
        )
    by_image: dict[ImageId, list[int]] = {}
    for row in random.Random(seed).sample(range(len(image_ids)), len(image_ids)):
        by_image.setdefault(image_ids[row], []).append(row)
    # Rows of one image stand together, so a step of the longest such stretch leaves every image.
    circle = [row for rows in by_image.values() for row in rows]
    counts = Counter(image_ids)
    step = max(counts.values())
    if 2 * step <= len(circle):
        dealt = {row: circle[(i + step) % len(circle)] for i, row in enumerate(circle)}
    else:  # one image has more rows than all others together: those are dealt more than once
        dealt = {
            row: _others(by_image, image)[i % (len(circle) - counts[image])]
            for image, rows in by_image.items()
            for i, row in enumerate(rows)
        }
    return [dealt[row] for row in range(len(image_ids))]


def _others(by_image: Mapping[ImageId, Sequence[int]], image: ImageId) -> list[int]:
    return [row for other, rows in by_image.items() if other != image for row in rows]


def _greyed(model: "TransformersModel", request: Request) -> Request:
    """Return the request with a picture of the colour that the processor's normalisation makes zero."""
    mean = getattr(getattr(model.processor, "image_processor", None), "image_mean", None)
    levels = mean if isinstance(mean, (list, tuple)) and len(mean) == 3 else (GREY, GREY, GREY)
    red, green, blue = (round(255 * float(level)) for level in levels)
    return replace(request, image=Image.new("RGB", request.image.size, (red, green, blue)))


def _zeroed(model: "TransformersModel", inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    ids = inputs["input_ids"]
    seen = image_places(model.model, ids)
    kept = {name: inputs[name] for name in PLACES if name in inputs}
    with torch.inference_mode():
        # The image token of some models lies beyond the vocabulary.
        embedded = model.model.get_input_embeddings()(ids.masked_fill(seen, 0))
    return {**kept, "inputs_embeds": embedded.masked_fill(seen[..., None], 0)}


def image_places(network: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return where in the prompts (batch, length) image tokens stand; nowhere if the model has no such token."""
    image_id = getattr(network.config, "image_token_id", None)
    return ids == image_id if image_id is not None else torch.zeros_like(ids, dtype=torch.bool)


class _EnteredError(Exception):
    """Carries what the language model was called with out of the forward pass."""

    def __init__(self, embeddings: torch.Tensor | None) -> None:
        self.embeddings = embeddings


def _check_entrance(network: Any, name: str, inputs: Mapping[str, torch.Tensor]) -> None:
    """Raise a UserError unless pictures enter the language model in the places of image tokens, and only there.

    Otherwise zeros there would not be all that the picture was, or other things would be gone too.
    """
    places = image_places(network, inputs["input_ids"])
    entered = _entering(network, inputs) if bool(places.any()) else None
    if entered is not None and entered.shape[:2] == places.shape:
        own = network.get_input_embeddings()(inputs["input_ids"].masked_fill(places, 0))
        text_kept = torch.equal(entered[~places], own[~places].to(entered.dtype))
        token = network.get_input_embeddings().weight
        image_id = network.config.image_token_id
        bare = image_id < len(token) and torch.equal(
            entered[places], token[image_id].to(entered.dtype).expand_as(entered[places])
        )
        if text_kept and not bare:
            return
    raise UserError(
        f"without=zeroed: pictures do not enter the language model of {name} in the places of image tokens; "
        "give another form"
    )


def _entering(network: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return the embeddings (batch, length, width) that the language model is called with, picture included."""

    def stop(_: Any, positional: Any, named: Mapping[str, Any]) -> None:
        raise _EnteredError(named.get("inputs_embeds"))

    handle = network.get_decoder().register_forward_pre_hook(stop, with_kwargs=True)
    try:
        Reader(network, inputs).read_prompt()
    except _EnteredError as entered:
        return entered.embeddings
    finally:
        handle.remove()
    return None
