"""A batch of requests without its images: the inputs of a model branch that cannot see.

`dropped`   the prompt is rendered without an image
`zeroed`    the prompt keeps its length; the image embeddings in it are zero
`neutral`   a grey image of the same size replaces the image
`shuffled`  the image of another request replaces it

The first three depend on their own request only. The forms are not equivalent. `dropped` also removes the positions of
the image tokens, which shifts all later positions. `zeroed` is an input that no model was trained on. The last two are
images: a model may say "grey" or name other objects. For a model that ignores its image, `neutral` and `shuffled` give
the same predictions as its image does; `dropped` gives others, so that it reports a dependence that does not exist.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from PIL import Image

from eidolon.models.base.model import Request, WhiteBoxModel
from eidolon.models.generation.token_reader import TokenReader
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import ImageId

Form = Literal["dropped", "zeroed", "neutral", "shuffled"]
FORMS: tuple[Form, ...] = get_args(Form)

TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "image_grid_thw")
"""The outputs of a processor that describe token positions; its other outputs are the image."""
GREY = 0.5
"""Grey level, 0 to 1, for a processor that does not normalise by a mean."""


def ablate(
    model: WhiteBoxModel, requests: Sequence[Request], form: Form, *, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Return the model's inputs for a batch without its images, in the order of the requests.

    They replace the inputs with images everywhere, such as in `TokenReader` or `teacher_forcing.force`.
    `input_ids` and `attention_mask` are (batch, length), padded on the left. `zeroed` adds `inputs_embeds` (batch,
    length, width), which the first forward pass uses instead of the ids. `seed` is for `shuffled`.

    Raises:
        UserError: `shuffled`, and all requests have the same image.
    """
    if form == "dropped":
        return dict(model.prepare(requests, images=False))
    if form == "zeroed":
        return _zeroed(model, model.prepare(requests))
    if form == "neutral":
        return dict(model.prepare([_greyed(model, request) for request in requests]))
    donors = shuffle_images([request.image_id for request in requests], seed)
    shuffled = [
        replace(request, image=requests[donor].image) for request, donor in zip(requests, donors, strict=True)
    ]
    return dict(model.prepare(shuffled))


def check_form(model: WhiteBoxModel, form: Form) -> None:
    """Check that the model's architecture supports a form, by one forward pass of two short requests.

    Raises:
        UserError: it does not; the message says why.
    """
    network = model.model
    name = type(network).__name__
    if getattr(network.config, "is_encoder_decoder", False):
        raise UserError(
            f"without={form}: {name} is an encoder-decoder model; prompts without their image need a "
            "decoder-only model"
        )
    image = Image.effect_noise((64, 64), 60).convert("RGB")
    request = Request("check", "check", image, "Is there a cup?")
    if form == "zeroed":
        _check_embedding(network, name, model.prepare([request]))
    other = replace(request, sample_id="other", image_id="other", image=image.rotate(90))
    try:
        # Only a forward pass shows whether a model accepts such inputs.
        TokenReader(network, ablate(model, [request, other], form)).read_prompt()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"without={form}: {name} cannot read such a prompt ({type(error).__name__}: {reason}); give another form"
        ) from error


def shuffle_images(image_ids: Sequence[ImageId], seed: int) -> list[int]:
    """Return for each row the row that donates its image: a random row with another image.

    The rows are put in a circle in random order, with the rows of one image side by side. The donor of a row is far
    enough ahead in the circle to be past all rows with the same image.

    Raises:
        UserError: all rows have the same image.
    """
    if len(set(image_ids)) < 2:
        raise UserError(
            f"without=shuffled: all {len(image_ids)} requests of the batch are about image {image_ids[0]!r}; "
            "give a larger batch or another form"
        )
    by_image: dict[ImageId, list[int]] = {}
    for row in random.Random(seed).sample(range(len(image_ids)), len(image_ids)):
        by_image.setdefault(image_ids[row], []).append(row)
    # The rows of one image are neighbours, so a step as long as the largest group leaves every group.
    circle = [row for rows in by_image.values() for row in rows]
    counts = Counter(image_ids)
    step = max(counts.values())
    if 2 * step <= len(circle):
        donors = {row: circle[(i + step) % len(circle)] for i, row in enumerate(circle)}
    else:  # one image has more rows than all others together, so some rows donate more than once
        donors = {
            row: _others(by_image, image)[i % (len(circle) - counts[image])]
            for image, rows in by_image.items()
            for i, row in enumerate(rows)
        }
    return [donors[row] for row in range(len(image_ids))]


def _others(by_image: Mapping[ImageId, Sequence[int]], image: ImageId) -> list[int]:
    return [row for other, rows in by_image.items() if other != image for row in rows]


def _greyed(model: WhiteBoxModel, request: Request) -> Request:
    """Return the request with an image of the colour that the processor normalises to zero."""
    mean = getattr(getattr(model.processor, "image_processor", None), "image_mean", None)
    levels = mean if isinstance(mean, (list, tuple)) and len(mean) == 3 else (GREY, GREY, GREY)
    red, green, blue = (round(255 * float(level)) for level in levels)
    return replace(request, image=Image.new("RGB", request.image.size, (red, green, blue)))


def _zeroed(model: WhiteBoxModel, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    ids = inputs["input_ids"]
    is_image = image_token_mask(model.model, ids)
    kept = {name: inputs[name] for name in TEXT_INPUTS if name in inputs}
    with torch.inference_mode():
        # The image token of some models is outside the vocabulary, so it is replaced before the lookup.
        embedded = model.model.get_input_embeddings()(ids.masked_fill(is_image, 0))
    return {**kept, "inputs_embeds": embedded.masked_fill(is_image[..., None], 0)}


def image_token_mask(network: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return where token ids (batch, length) are image tokens, as bool; all false if the model has no such token."""
    image_id = getattr(network.config, "image_token_id", None)
    return ids == image_id if image_id is not None else torch.zeros_like(ids, dtype=torch.bool)


class _DecoderCalledError(Exception):
    """Aborts a forward pass at the language model and carries its input embeddings out."""

    def __init__(self, embeddings: torch.Tensor | None) -> None:
        self.embeddings = embeddings


def _check_embedding(network: Any, name: str, inputs: Mapping[str, torch.Tensor]) -> None:
    """Raise a UserError unless the image enters the language model exactly at the image tokens' positions.

    Otherwise zeros at these positions would not remove all of the image, or would remove something else.
    """
    is_image = image_token_mask(network, inputs["input_ids"])
    entered = _decoder_inputs(network, inputs) if bool(is_image.any()) else None
    if entered is not None and entered.shape[:2] == is_image.shape:
        own = network.get_input_embeddings()(inputs["input_ids"].masked_fill(is_image, 0))
        text_unchanged = torch.equal(entered[~is_image], own[~is_image].to(entered.dtype))
        table = network.get_input_embeddings().weight
        image_id = network.config.image_token_id
        no_image = image_id < len(table) and torch.equal(
            entered[is_image], table[image_id].to(entered.dtype).expand_as(entered[is_image])
        )
        if text_unchanged and not no_image:
            return
    raise UserError(
        f"without=zeroed: {name} does not insert the image at the positions of image tokens; give another form"
    )


def _decoder_inputs(network: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return the embeddings (batch, length, width) that enter the language model, those of the image included."""

    def stop(_: Any, positional: Any, named: Mapping[str, Any]) -> None:
        raise _DecoderCalledError(named.get("inputs_embeds"))

    handle = network.get_decoder().register_forward_pre_hook(stop, with_kwargs=True)
    try:
        TokenReader(network, inputs).read_prompt()
    except _DecoderCalledError as called:
        return called.embeddings
    finally:
        handle.remove()
    return None
