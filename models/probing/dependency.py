"""Visual prompt dependency of a text, token by token: the model's predictions with the image and without it.

All branches are teacher-forced on the same tokens, chunk by chunk, side by side. Memory holds one chunk of logits per
branch, batch x width x vocabulary, and keeps a few numbers per token. Each branch reads its prompts once and each
token once. Texts of similar length share a batch, so that padding adds at most a tenth.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from eidolon.models.base.contrast import PLAUSIBLE, Contrastive
from eidolon.models.base.model import Failure, Request, WhiteBoxModel
from eidolon.models.generation.image_ablation import Form, ablate, check_form, shuffle_images
from eidolon.models.generation.m3id import contrast_scores
from eidolon.models.generation.recovery import in_parts
from eidolon.models.generation.token_reader import TokenReader
from eidolon.models.probing.teacher_forcing import WIDTH, Chunk, check_forcing, force

BATCH = 8
"""Most texts per batch."""
PADDING = 0.1
"""Most padding of a batch, as a fraction of its tokens."""

Alternatives = tuple[tuple[int, float], ...]
"""Token ids with their probabilities, likeliest first."""


@dataclass(frozen=True, slots=True)
class PromptDependency:
    """A model's predictions along one text, with the image and without it; each tuple has one entry per token."""

    tokens: tuple[int, ...]
    """Token ids of the text."""
    seen: tuple[float, ...]
    """Log-probability of the token with the image, in nats."""
    blind: tuple[float, ...]
    """Log-probability of the token without the image, in nats."""
    hellinger: tuple[float, ...]
    """Hellinger distance of the two next-token distributions, 0 to 1."""
    difference: tuple[float, ...]
    """Root mean square over the vocabulary of l_c - l_u minus its mean, in nats."""
    beside: tuple[float, ...] = ()
    """Hellinger distance to the second form without the image; empty without a second form."""
    signal: tuple[float, ...] = ()
    """`plausible_product` of the two forms, in nats²; empty without a second form."""
    forms_apart: tuple[float, ...] = ()
    """Hellinger distance between the two forms without the image; empty without a second form."""
    top_seen: tuple[Alternatives, ...] = ()
    """The likeliest tokens with the image."""
    top_blind: tuple[Alternatives, ...] = ()
    """The likeliest tokens without the image."""
    top_contrast: tuple[Alternatives, ...] = ()
    """The tokens that the image supports most: likeliest by contrastive decoding with the defaults of
    `models.base.contrast`. The probabilities are the model's own, with the image."""


def read_dependency(
    model: WhiteBoxModel,
    requests: Sequence[Request],
    continuations: Sequence[Sequence[int]],
    *,
    form: Form = "neutral",
    beside: Form | None = None,
    others: Sequence[Image.Image] | None = None,
    seed: int = 0,
    batch: int = BATCH,
    width: int = WIDTH,
    top: int = 0,
    failures: dict[int, Failure] | None = None,
) -> list[PromptDependency]:
    """Return for each request the dependency along its continuation, given as token ids.

    `form` says how the branch without the image is fed, and `beside` how a second one is. `others` are the images of
    `shuffled`, one for each request; without them `seed` assigns those of the requests. With `neutral` and `shuffled` a
    model that ignores its images has a dependency of 0; with `dropped` it may have any, because all positions shift.
    `top` is the number of alternatives per token. With `failures`, a batch that does not fit is read in parts; a row
    that fails by itself is `EMPTY` and its reason is put into `failures`. Without it, exceptions pass through.

    Raises:
        UserError: the model's texts cannot be forced, or its architecture does not support the form.
    """
    check_forcing(model)
    forms: list[Form] = [form] if beside is None else [form, beside]
    for one in forms:
        check_form(model, one)
    blinded = list(requests)
    if "shuffled" in forms:
        if others is None:
            donors = shuffle_images([request.image_id for request in requests], seed)
            others = [requests[donor].image for donor in donors]
        blinded = [replace(one, image=other) for one, other in zip(requests, others, strict=True)]

    def without(rows: Sequence[int], form: Form) -> dict[str, Any]:
        if form == "shuffled":
            return dict(model.prepare([blinded[row] for row in rows]))
        return ablate(model, [requests[row] for row in rows], form)

    def read(rows: Sequence[int]) -> list[PromptDependency]:
        texts = [continuations[row] for row in rows]
        inputs = [model.prepare([requests[row] for row in rows]), *(without(rows, form) for form in forms)]
        branches = (force(model.model, one, texts, width=width, pad=model.pad_id) for one in inputs)
        return compare_branches(*branches, rows=len(rows), top=top)

    def failed(row: int, failure: Failure) -> PromptDependency:
        assert failures is not None
        failures[row] = failure
        return EMPTY

    found: dict[int, PromptDependency] = {}
    for rows in plan_batches([len(tokens) for tokens in continuations], batch):
        results = read(rows) if failures is None else in_parts(read, rows, model.counts, failed)
        found.update(zip(rows, results, strict=True))
    return [found.get(row, EMPTY) for row in range(len(requests))]


EMPTY = PromptDependency((), (), (), (), ())
"""The dependency along a text of no tokens."""


@torch.inference_mode()
def continue_greedily(
    model: WhiteBoxModel,
    request: Request,
    prefix: Sequence[int],
    starts: Sequence[int],
    *,
    form: Form | None = None,
    length: int = 4,
) -> list[tuple[int, ...]]:
    """Return for each start token the model's greedy continuation after the prefix: it and `length` more token ids.

    `form` None reads the prompt with the image, any form but `shuffled` without it. All starts are read in one batch.
    """
    rows = [request] * len(starts)
    reader = TokenReader(model.model, model.prepare(rows) if form is None else ablate(model, rows, form))
    reader.read_prompt()
    device = model.device
    written = torch.tensor([list(prefix)] * len(starts), dtype=torch.int64, device=device)
    for piece in torch.split(written, 1 if reader.one_by_one else WIDTH, dim=1) if prefix else ():
        reader.read(piece)
    tokens = [torch.tensor(list(starts), dtype=torch.int64, device=device)[:, None]]
    for _ in range(length):
        tokens.append(reader.read(tokens[-1])[:, -1].argmax(dim=-1, keepdim=True))
    return [tuple(row) for row in torch.cat(tokens, dim=1).tolist()]


def plan_batches(lengths: Sequence[int], batch: int = BATCH) -> list[list[int]]:
    """Return the rows of each batch, longest first, with padding of at most `PADDING`. Empty texts are left out."""
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


def compare_branches(
    seen: Iterable[Chunk], *blind: Iterable[Chunk], rows: int, top: int = 0
) -> list[PromptDependency]:
    """Return the dependency of each row of a batch from the chunks of its two or three branches, read in turns."""
    pieces: list[list[_Piece]] = [[] for _ in range(rows)]
    for one, *others in zip(seen, *blind, strict=True):
        for row in range(rows):
            width = int(one.mask[row].sum())
            if width:
                # One row at a time: the intermediate results are as large as the row's logits.
                logits = [other.logits[row, :width] for other in others]
                pieces[row].append(
                    _compare(one.tokens[row, :width], one.logits[row, :width], *logits, top=top)
                )
        del one, others
    return [_join(found) for found in pieces]


@torch.inference_mode()
def distances(seen: torch.Tensor, blind: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the Hellinger distance and the size of the centred difference of (…, vocabulary) log-probabilities.

    H(P, Q) = ‖√P - √Q‖₂ / √2, in float32; the form sqrt(1 - Σ√(PQ)) loses half the digits near 0. The size is the root
    mean square over the tokens with a probability above 0 in both branches. Both results have the shape (…).
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


@torch.inference_mode()
def plausible_product(seen: torch.Tensor, blind: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return what the image changes, in nats², from log-probabilities (…, vocabulary) with it and in two forms without.

    It is the mean of (l_c - l_u)·(l_c - l_v), each centred, over the tokens that v finds plausible: at least
    `PLAUSIBLE` times as likely as its likeliest. Noise that u and v do not share cancels on average, while it adds its
    variance to the square of either difference. With l_c = f·l* + (1 - f)·l_v the set does not depend on f, and the
    product is f² times what it would be without fading. Shape (…); NaN where fewer than two tokens are plausible.
    """
    kept = other >= other.amax(dim=-1, keepdim=True) + math.log(PLAUSIBLE)
    kept &= seen.isfinite() & blind.isfinite()
    count = kept.sum(dim=-1, keepdim=True)
    first, second = ((seen - one).masked_fill_(~kept, 0.0).double() for one in (blind, other))
    first -= first.sum(dim=-1, keepdim=True) / count.clamp(min=1)
    product = (first.masked_fill_(~kept, 0.0) * second).sum(dim=-1) / count[..., 0].clamp(min=1)
    return product.masked_fill_(count[..., 0] < 2, math.nan)


@dataclass(frozen=True, slots=True)
class _Piece:
    """One row's part of a chunk, as Python numbers."""

    numbers: tuple[tuple[float, ...], ...]
    """Per token: seen, blind, hellinger, difference; with a second form also beside, signal, forms_apart."""
    tokens: tuple[int, ...]
    alternatives: tuple[tuple[Alternatives, Alternatives, Alternatives], ...]
    """Per token: top_seen, top_blind, top_contrast."""


@torch.inference_mode()
def _compare(
    tokens: torch.Tensor,
    seen: torch.Tensor,
    blind: torch.Tensor,
    other: torch.Tensor | None = None,
    *,
    top: int,
) -> _Piece:
    with_image, without = seen.float().log_softmax(dim=-1), blind.float().log_softmax(dim=-1)
    hellinger, difference = distances(with_image, without)
    chosen = [one.gather(-1, tokens[:, None])[:, 0] for one in (with_image, without)]
    columns = [*chosen, hellinger, difference]
    if other is not None:
        second = other.float().log_softmax(dim=-1)
        columns += [
            distances(with_image, second)[0],
            plausible_product(with_image, without, second),
            distances(without, second)[0],
        ]
    numbers = torch.stack([column.double() for column in columns], dim=1).tolist()
    alternatives: list[Any] = []
    if top:
        contrast = contrast_scores(seen.float(), blind.float(), Contrastive(), 0)
        likely = [
            _alternatives(one.topk(min(top, one.shape[-1])).indices, log_probabilities)
            for one, log_probabilities in (
                (with_image, with_image),
                (without, without),
                (contrast, with_image),
            )
        ]
        alternatives = list(zip(*likely, strict=True))
    return _Piece(tuple(map(tuple, numbers)), tuple(tokens.tolist()), tuple(alternatives))


def _alternatives(indices: torch.Tensor, log_probabilities: torch.Tensor) -> Iterator[Alternatives]:
    values = log_probabilities.gather(-1, indices).exp()
    for ids, probabilities in zip(indices.tolist(), values.tolist(), strict=True):
        yield tuple(zip(ids, probabilities, strict=True))


def _join(pieces: Sequence[_Piece]) -> PromptDependency:
    numbers = [row for piece in pieces for row in piece.numbers]
    columns: list[tuple[float, ...]] = [*zip(*numbers, strict=True)]
    columns += [()] * (7 - len(columns))
    seen, blind, hellinger, difference, beside, signal, apart = columns
    tops = [found for piece in pieces for found in piece.alternatives]
    top_seen, top_blind, top_contrast = zip(*tops, strict=True) if tops else ((), (), ())
    return PromptDependency(
        tuple(token for piece in pieces for token in piece.tokens),
        seen,
        blind,
        hellinger,
        difference,
        beside,
        signal,
        apart,
        top_seen,
        top_blind,
        top_contrast,
    )
