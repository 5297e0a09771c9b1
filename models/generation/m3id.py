"""M3ID and contrastive decoding for any decoder-only model of transformers, as a logits processor.

A second branch reads the same response without the picture. It has a cache of its own, so that a step costs it one
forward pass of one token a row, as the first; and it reads only when asked, so that it stops with the first.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers import GenerationMixin, LogitsProcessor

from eidolon.models.base.contrast import Contrast
from eidolon.models.base.model import Decoding, Request
from eidolon.models.probing.image_ablation import ablate, check_form
from eidolon.models.probing.token_reader import Reader
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from eidolon.models.backends.transformers import TransformersModel


def check_contrast(model: "TransformersModel", decoding: Decoding) -> None:
    """Raise a UserError for a model that cannot be read a second time without the picture."""
    if decoding.contrast is None:
        return
    kind = type(model.model)
    if kind.generate is not GenerationMixin.generate:
        raise UserError(
            f"--decoding {decoding.contrast.name}: {kind.__name__} generates in a way of its own; "
            "give --decoding plain"
        )
    try:
        check_form(model, decoding.contrast.without)
    except UserError as error:
        raise UserError(f"--decoding {decoding.contrast.name}: {error}") from error


def contrasting(model: "TransformersModel", requests: Sequence[Request]) -> list[LogitsProcessor]:
    """Return what `generate` is given for a batch: nothing where it decodes plainly."""
    contrast = requests[0].decoding.contrast
    if contrast is None:
        return []
    branch = Reader(model.model, ablate(model, requests, contrast.without))
    return [Contrasting(branch, contrast)]


class Contrasting(LogitsProcessor):
    """Adds to every token's score w(t) times how much likelier the picture makes it."""

    def __init__(self, branch: Reader, contrast: Contrast) -> None:
        """Take the branch without the picture, which has read nothing yet."""
        self._branch, self._contrast = branch, contrast
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (rows, vocabulary), normalised no more than those given; -∞ for a token that is cut."""
        blind = self._branch.read(input_ids[:, -1:]) if self._step else self._branch.read_prompt()
        combined = contrast_scores(scores, blind[:, -1].to(scores), self._contrast, self._step)
        self._step += 1
        return combined


def contrast_scores(seen: torch.Tensor, blind: torch.Tensor, contrast: Contrast, step: int) -> torch.Tensor:
    """Return l̂ up to a constant a row, from logits (rows, vocabulary) with the picture and without it.

    Where the weight is 0 or the gate is shut a row comes back bit for bit, so that plain decoding is the limit.
    """
    with_picture = seen.log_softmax(dim=-1)
    best = with_picture.max(dim=-1, keepdim=True).values
    weight = contrast.weight(step)
    scores = seen
    if weight > 0:
        gained = seen + weight * (with_picture - blind.log_softmax(dim=-1))
        scores = torch.where(best < math.log(contrast.confident), gained, seen)
    if contrast.plausible > 0:
        scores = scores.masked_fill(with_picture < best + math.log(contrast.plausible), -torch.inf)
    return scores
