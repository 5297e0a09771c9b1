"""The inputs of a batch in which each row ends with its image, shown for the second time."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from eidolon.models.base.model import Request, WhiteBoxModel
from eidolon.models.generation.image_ablation import image_token_mask
from eidolon.models.probing.yes_no_interview import RowEdit, edit_rows
from eidolon.scorers.core.errors import UserError


def reshow(
    model: WhiteBoxModel, requests: Sequence[Request], inputs: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """Return the inputs with the tokens of each row's image repeated at its end, and its pixels twice.

    Raises:
        UserError: the model does not take the image as one block of image tokens and one array of pixels a row.
    """
    blocks = [
        seen[image_start(seen, blind) : len(seen) - common_end(seen, blind)]
        for seen, blind in zip(
            rows_of(model.prepare(requests)), rows_of(model.prepare(requests, images=False)), strict=True
        )
    ]
    counts = image_token_mask(model.model, inputs["input_ids"]).sum(dim=1).tolist()
    found = edit_rows(inputs, [RowEdit(insert=block) for block in blocks], model.pad_id)
    twice = image_token_mask(model.model, found["input_ids"]).sum(dim=1).tolist()
    pixels = inputs.get("pixel_values")
    alone = set(found) <= {
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "pixel_values",
        "pixel_attention_mask",
    }
    whole = pixels is not None and pixels.shape[0] == len(requests) and pixels.ndim in (4, 5)
    if not (alone and whole and all(counts) and twice == [2 * count for count in counts]):
        raise UserError(
            f"{type(model.model).__name__}: does not take an image as one block of tokens and one array of pixels"
        )
    for name in ("pixel_values", "pixel_attention_mask"):
        if name in inputs:
            value = inputs[name]
            # (rows, channels, height, width), or (rows, images, …) for models that take several images a row.
            several = pixels is not None and pixels.ndim == 5
            found[name] = torch.cat([value, value], 1) if several else value.repeat_interleave(2, dim=0)
    return found


def image_start(seen: Sequence[int], blind: Sequence[int]) -> int:
    """Return the index of the first token that differs from the prompt without an image."""
    shortest = min(len(seen), len(blind))
    return next((i for i in range(shortest) if seen[i] != blind[i]), shortest)


def common_end(seen: Sequence[int], blind: Sequence[int]) -> int:
    """Return how many tokens at the end, after the image, are those of the prompt without an image."""
    most = min(len(seen), len(blind)) - image_start(seen, blind)
    return next((i for i in range(most) if seen[-1 - i] != blind[-1 - i]), most)


def rows_of(prepared: Mapping[str, torch.Tensor]) -> list[list[int]]:
    """Return the token ids of each row without padding."""
    pairs = zip(prepared["input_ids"], prepared["attention_mask"], strict=True)
    return [ids[mask.bool()].tolist() for ids, mask in pairs]
