"""Log-probabilities of several texts that could follow a text in the model's own turn, after an image.

The prompt and the given text are read once; each text continues from a copy of the cache.
"""

from collections.abc import Sequence

import torch

from eidolon.models.base.model import Failure, ScoredRequest, WhiteBoxModel
from eidolon.models.generation.recovery import in_parts
from eidolon.models.generation.token_reader import TokenReader
from eidolon.models.probing.teacher_forcing import check_forcing
from eidolon.models.probing.yes_no_interview import RowEdit, edit_rows


def score_in_parts(model: WhiteBoxModel, asked: Sequence[ScoredRequest]) -> list[list[float] | Failure]:
    """Return the log-probabilities of every text of every request, or the reason why a request failed.

    The requests make one batch. If it does not fit or fails, it is answered in parts.
    """

    def score(part: Sequence[ScoredRequest]) -> Sequence[list[float] | Failure]:
        return score_completions(model, part)

    return list(in_parts(score, asked, model.counts, lambda _, failure: failure))


@torch.inference_mode()
def score_completions(model: WhiteBoxModel, asked: Sequence[ScoredRequest]) -> list[list[float]]:
    """Return the log-probability, in nats, of every text of every request.

    Raises:
        UserError: the model's texts cannot be forced.
    """
    check_forcing(model)
    inputs = model.prepare([one.request for one in asked])
    inputs = edit_rows(inputs, [RowEdit(insert=one.given) for one in asked], model.pad_id)
    reader = TokenReader(model.model, inputs)
    first = reader.read_prompt()
    found: list[list[float]] = [[] for _ in asked]
    for slot in range(max(len(one.texts) for one in asked)):
        texts = [one.texts[slot] if slot < len(one.texts) else (model.pad_id,) for one in asked]
        for row, value in enumerate(_score(reader, first, texts, model.pad_id)):
            if slot < len(asked[row].texts):
                found[row].append(value)
    return found


def _score(reader: TokenReader, first: torch.Tensor, texts: Sequence[Sequence[int]], pad: int) -> list[float]:
    """Return the log-probability of each row's text. `first`, (rows, 1, vocabulary), are the logits before it."""
    width = max(map(len, texts))
    tokens = torch.full((len(texts), width), pad, dtype=torch.int64, device=reader.device)
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    for row, ids in enumerate(texts):
        tokens[row, : len(ids)] = torch.tensor(list(ids), dtype=torch.int64)
        mask[row, : len(ids)] = True
    pieces = [first]
    if width > 1:
        branch = reader.branch()
        rest = tokens[:, :-1]
        pieces += [branch.read(piece) for piece in (rest.split(1, dim=1) if branch.one_by_one else [rest])]
    logits = torch.cat(pieces, dim=1).double()
    chosen = logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(dim=-1)
    sums: list[float] = chosen.masked_fill(~mask, 0.0).sum(dim=1).tolist()
    return sums
