"""Visual prompt dependency of a text, token by token: what the model expects there with the picture and without.

Both branches are teacher-forced on the same tokens, chunk by chunk, side by side. A chunk of logits of each, batch x
width x vocabulary, is all that is held at once; what is kept of it is a few numbers a token. Beyond the prompts, each
branch reads each token once, and rows are put together by length, so that padding adds at most a tenth.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.contrast import Contrastive
from eidolon.models.base.model import Failure, Request
from eidolon.models.generation.m3id import contrast_scores
from eidolon.models.generation.recovery import in_parts
from eidolon.models.probing.image_ablation import Form, ablate, check_form, deal_pictures
from eidolon.models.probing.teacher_forcing import WIDTH, Chunk, check, force
from eidolon.models.probing.token_reader import Reader

BATCH = 8
"""Texts that are read at once."""
PADDING = 0.1
"""Of the positions that a batch reads, relative to its tokens: more rows are put together only up to it."""

Alternatives = tuple[tuple[int, float], ...]
"""Tokens with their probabilities, likeliest first."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model makes of one text; each tuple has one entry a token."""

    tokens: tuple[int, ...]
    seen: tuple[float, ...]
    """Log-probability of the token with the picture, in nats, …"""
    blind: tuple[float, ...]
    """… and without."""
    hellinger: tuple[float, ...]
    difference: tuple[float, ...]
    """Root mean square over the vocabulary of l_c - l_u less its mean, in nats."""
    top_seen: tuple[Alternatives, ...] = ()
    top_blind: tuple[Alternatives, ...] = ()
    leaning: tuple[Alternatives, ...] = ()
    """What contrastive decoding (`models.base.contrast`, its defaults) makes likeliest: the word of the picture.
    The probabilities are the model's own, with the picture."""


def read_dependency(
    model: TransformersModel,
    requests: Sequence[Request],
    continuations: Sequence[Sequence[int]],
    *,
    form: Form = "dropped",
    seed: int = 0,
    batch: int = BATCH,
    width: int = WIDTH,
    top: int = 0,
    failures: dict[int, Failure] | None = None,
) -> list[Reading]:
    """Read each request's continuation, given as token ids, with its picture and without.

    `top` asks for as many alternatives at each token. `seed` deals the pictures of `shuffled`, over all requests.
    With `failures`, what does not fit is read in parts, and a row that fails by itself is empty and stands there with
    its reason; without, exceptions go through.

    Raises:
        UserError: a model whose texts cannot be forced, or that cannot be asked without the picture in this form.
    """
    check(model)
    check_form(model, form)
    blinded = list(requests)
    if form == "shuffled":
        donors = deal_pictures([request.image_id for request in requests], seed)
        blinded = [replace(one, image=requests[d].image) for one, d in zip(requests, donors, strict=True)]

    def read(rows: Sequence[int]) -> list[Reading]:
        texts = [continuations[row] for row in rows]
        inputs = model.prepare([requests[row] for row in rows])
        others = [blinded[row] for row in rows]
        without = model.prepare(others) if form == "shuffled" else ablate(model, others, form)
        branches = (
            force(model.model, one, texts, width=width, pad=model.pad_id) for one in (inputs, without)
        )
        return gather(*branches, rows=len(rows), top=top)

    def failed(row: int, failure: Failure) -> Reading:
        assert failures is not None
        failures[row] = failure
        return EMPTY

    readings: dict[int, Reading] = {}
    for rows in plan_batches([len(tokens) for tokens in continuations], batch):
        found = read(rows) if failures is None else in_parts(read, rows, model.counts, failed)
        readings.update(zip(rows, found, strict=True))
    return [readings.get(row, EMPTY) for row in range(len(requests))]


EMPTY = Reading((), (), (), (), ())


@torch.inference_mode()
def go_on(
    model: TransformersModel,
    request: Request,
    prefix: Sequence[int],
    starts: Sequence[int],
    *,
    form: Form | None = None,
    most: int = 4,
) -> list[tuple[int, ...]]:
    """Return for each token how the model would go on with it after the prefix: it and `most` more, each the likeliest.

    With the picture, or without it in a form that looks at the request alone. All are read in one batch.
    """
    rows = [request] * len(starts)
    reader = Reader(model.model, model.prepare(rows) if form is None else ablate(model, rows, form))
    reader.read_prompt()
    device = model.device
    written = torch.tensor([list(prefix)] * len(starts), dtype=torch.int64, device=device)
    for piece in torch.split(written, 1 if reader.one_by_one else WIDTH, dim=1) if prefix else ():
        reader.read(piece)
    tokens = [torch.tensor(list(starts), dtype=torch.int64, device=device)[:, None]]
    for _ in range(most):
        tokens.append(reader.read(tokens[-1])[:, -1].argmax(dim=-1, keepdim=True))
    return [tuple(row) for row in torch.cat(tokens, dim=1).tolist()]


def plan_batches(lengths: Sequence[int], batch: int = BATCH) -> list[list[int]]:
    """Return the rows of each batch, longest first, such that padding stays within bounds; empty ones are left out."""
    batches: list[list[int]] = []
    total = 0
    for row in sorted((i for i, n in enumerate(lengths) if n), key=lambda i: (-lengths[i], i)):
        last = batches[-1] if batches else []
        fits = last and (len(last) + 1) * lengths[last[0]] <= (1 + PADDING) * (total + lengths[row])
        if fits and len(last) < batch:
            last.append(row)
            total += lengths[row]
        else:
            batches.append([row])
            total = lengths[row]
    return batches


def gather(seen: Iterable[Chunk], blind: Iterable[Chunk], *, rows: int, top: int = 0) -> list[Reading]:
    """Return the readings of a batch from the chunks of its two branches, which are asked for in turn."""
    pieces: list[list[_Piece]] = [[] for _ in range(rows)]
    for one, other in zip(seen, blind, strict=True):
        for row in range(rows):
            width = int(one.alive[row].sum())
            if width:
                # A row at a time: what is computed on the way is as large as its logits.
                pieces[row].append(
                    _compare(one.tokens[row, :width], one.logits[row, :width], other.logits[row, :width], top)
                )
        del one, other
    return [_joined(found) for found in pieces]


@torch.inference_mode()
def distances(seen: torch.Tensor, blind: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Hellinger distance and size of the centred difference of (…, vocabulary) log-probabilities.

    H(P, Q) = ‖√P - √Q‖₂ / √2, in float32: the form sqrt(1 - Σ√(PQ)) loses half the digits near 0. The size is a root
    mean square over the tokens to which both branches give any probability.
    """
    apart = (0.5 * seen).exp_().sub_((0.5 * blind).exp_())
    hellinger = apart.norm(dim=-1) / 2**0.5
    del apart
    known = seen.isfinite() & blind.isfinite()
    count = known.sum(dim=-1, keepdim=True).clamp(min=1)
    centred = (seen - blind).masked_fill_(~known, 0.0)
    centred -= centred.sum(dim=-1, keepdim=True) / count
    squares = centred.square_().masked_fill_(~known, 0.0).sum(dim=-1)
    return hellinger, (squares / count[..., 0]).sqrt()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A row's part of a chunk, as Python numbers."""

    numbers: tuple[tuple[float, float, float, float], ...]
    tokens: tuple[int, ...]
    alternatives: tuple[tuple[Alternatives, Alternatives, Alternatives], ...]


@torch.inference_mode()
def _compare(tokens: torch.Tensor, seen: torch.Tensor, blind: torch.Tensor, top: int) -> _Piece:
    with_picture, without = seen.float().log_softmax(dim=-1), blind.float().log_softmax(dim=-1)
    hellinger, difference = distances(with_picture, without)
    chosen = [one.gather(-1, tokens[:, None])[:, 0] for one in (with_picture, without)]
    numbers = torch.stack([*chosen, hellinger, difference], dim=1).tolist()
    alternatives: list[Any] = []
    if top:
        leaning = contrast_scores(seen.float(), blind.float(), Contrastive(), 0)
        columns = [
            _alternatives(one.topk(min(top, one.shape[-1])).indices, likely)
            for one, likely in ((with_picture, with_picture), (without, without), (leaning, with_picture))
        ]
        alternatives = list(zip(*columns, strict=True))
    return _Piece(tuple(map(tuple, numbers)), tuple(tokens.tolist()), tuple(alternatives))


def _alternatives(indices: torch.Tensor, log_probabilities: torch.Tensor) -> Iterator[Alternatives]:
    values = log_probabilities.gather(-1, indices).exp()
    for ids, likely in zip(indices.tolist(), values.tolist(), strict=True):
        yield tuple(zip(ids, likely, strict=True))


def _joined(pieces: Sequence[_Piece]) -> Reading:
    numbers = [row for piece in pieces for row in piece.numbers]
    seen, blind, hellinger, difference = zip(*numbers, strict=True) if numbers else ((), (), (), ())
    tops = [found for piece in pieces for found in piece.alternatives]
    top_seen, top_blind, leaning = zip(*tops, strict=True) if tops else ((), (), ())
    return Reading(
        tuple(token for piece in pieces for token in piece.tokens),
        seen,
        blind,
        hellinger,
        difference,
        top_seen,
        top_blind,
        leaning,
    )
