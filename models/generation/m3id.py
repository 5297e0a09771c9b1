"""M3ID and contrastive decoding for decoder-only transformers models, as a logits processor.

A second branch reads the same response without the image. It has its own cache, so that each step costs one more
forward pass of one token per row. It reads only when it is called, so it stops when generation stops. Where the model
permits it, `joined_branches` reads both in one pass.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from transformers import GenerationMixin, LogitsProcessor

from eidolon.models.base.contrast import ContrastDecoding
from eidolon.models.base.model import Decoding, Request, WhiteBoxModel
from eidolon.models.generation.image_ablation import ablate, check_form
from eidolon.models.generation.token_reader import TokenReader
from eidolon.scorers.core.errors import UserError


def check_contrast(model: WhiteBoxModel, decoding: Decoding) -> None:
    """Check that the model supports a contrastive decoding; nothing to check for a plain one.

    Raises:
        UserError: the model cannot read its response a second time without the image.
    """
    if decoding.contrast is None:
        return
    kind = type(model.model)
    if kind.generate is not GenerationMixin.generate:
        raise UserError(
            f"--decoding {decoding.contrast.name}: {kind.__name__} has its own generate method; "
            "give --decoding plain"
        )
    try:
        check_form(model, decoding.contrast.without)
    except UserError as error:
        raise UserError(f"--decoding {decoding.contrast.name}: {error}") from error


def contrast_processors(model: WhiteBoxModel, requests: Sequence[Request]) -> list[LogitsProcessor]:
    """Return the logits processors of a batch for `generate`: one, or none for plain decoding."""
    contrast = requests[0].decoding.contrast
    if contrast is None:
        return []
    branch = TokenReader(model.model, ablate(model, requests, contrast.without))
    return [ContrastProcessor(branch, contrast)]


class Branch(Protocol):
    """What reads the response without the image."""

    def read_prompt(self) -> torch.Tensor:
        """Return the logits after the prompt, (rows, 1, vocabulary)."""
        ...

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits after further tokens (rows, 1): (rows, 1, vocabulary)."""
        ...


class ContrastProcessor(LogitsProcessor):
    """Adds to every token's score w(t)·(l_c - l_u): the weighted gain of its log-probability by the image."""

    def __init__(self, branch: Branch, contrast: ContrastDecoding) -> None:
        """Take the branch without the image, before it has read anything."""
        self._branch, self._contrast = branch, contrast
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (rows, vocabulary), up to a constant per row; -∞ for a token that is cut off."""
        blind = self._branch.read(input_ids[:, -1:]) if self._step else self._branch.read_prompt()
        combined = contrast_scores(scores, blind[:, -1].to(scores), self._contrast, self._step)
        self._step += 1
        return combined


def contrast_scores(
    seen: torch.Tensor, blind: torch.Tensor, contrast: ContrastDecoding, step: int
) -> torch.Tensor:
    """Return l̂ = l_c + w(t)·(l_c - l_u), up to a constant per row, from logits (rows, vocabulary).

    `seen` are the logits with the image, `blind` those without it, `step` is t. A row with weight 0, or with a token
    above the confidence threshold, is returned bit for bit: the limit is plain decoding.
    """
    with_image = seen.log_softmax(dim=-1)
    best = with_image.max(dim=-1, keepdim=True).values
    weight = contrast.weight(step)
    scores = seen
    if weight > 0:
        gained = seen + weight * (with_image - blind.log_softmax(dim=-1))
        scores = torch.where(best < math.log(contrast.confident), gained, seen)
    if contrast.plausible > 0:
        scores = scores.masked_fill(with_image < best + math.log(contrast.plausible), -torch.inf)
    return scores
