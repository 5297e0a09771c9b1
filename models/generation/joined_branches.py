"""Contrastive decoding with one forward pass a token: the branch without the image is further rows of the same batch.

Each branch reads its own prompt. After that, their keys and values are one batch: the shorter prompts are padded on the
left, with masked keys, and every token keeps its position. Models with any other state keep two readers, which take
turns (`m3id.ContrastProcessor`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from eidolon.models.base.model import Request, WhiteBoxModel
from eidolon.models.generation.image_ablation import ablate
from eidolon.models.generation.m3id import ContrastProcessor
from eidolon.models.generation.token_reader import TokenReader


class BlindRows:
    """The logits of the branch without the image, which were computed together with those of the other."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits

    def read_prompt(self) -> torch.Tensor:
        """Return the logits after the prompt, (rows, 1, vocabulary)."""
        return self.logits

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits after the last tokens, which are already read, (rows, 1, vocabulary)."""
        return self.logits


@torch.inference_mode()
def generate_joined(
    model: WhiteBoxModel,
    inputs: Mapping[str, torch.Tensor],
    requests: Sequence[Request],
    before: Sequence[LogitsProcessor],
    after: Sequence[LogitsProcessor],
) -> torch.Tensor | None:
    """Return prompts and answers as token ids (rows, length), as `generate` does, or None if the model cannot join.

    `inputs` are those of the requests, which share a contrastive decoding. The processors `before` see the scores
    before the contrast, those `after` see them after it.
    """
    decoding = requests[0].decoding
    contrast = decoding.contrast
    assert contrast is not None
    seen = TokenReader(model.model, inputs)
    if not seen.may_join:
        return None
    blind = TokenReader(model.model, ablate(model, requests, contrast.without))
    logits, blind_logits = seen.read_prompt(), blind.read_prompt()
    both = seen.join(blind)
    if both is None:
        return None
    rows = len(requests)
    branch = BlindRows(blind_logits)
    processors = [*before, ContrastProcessor(branch, contrast), *after]
    ends = torch.tensor(model.end_ids, device=logits.device, dtype=torch.long)
    sequences = inputs["input_ids"]
    going = torch.ones(rows, dtype=torch.bool, device=sequences.device)
    for step in range(decoding.max_new_tokens):
        if step:
            tokens = sequences[:, -1:]
            read = both.read(torch.cat([tokens, tokens]))
            logits, branch.logits = read[:rows], read[rows:]
        scores: Any = logits[:, -1]
        for processor in processors:
            scores = processor(sequences, scores)
        chosen = torch.where(going, scores.argmax(dim=-1), model.pad_id)
        sequences = torch.cat([sequences, chosen[:, None]], dim=-1)
        going = going & ~torch.isin(chosen, ends)
        if not bool(going.any()):
            break
    return sequences
