"""One block for all memories: exact within a window, lossy before it, and exact for surprising tokens.

The query of token i attends, in one softmax and with the same projections, to

    the tokens of the window, including itself           h at [i-W+1, i]
    the fading states just before the window             F(h) at [i-2W+1, i-W]
    the store: the M most surprising tokens up to i-W    h

An unlimited window is attention; the window alone is sliding-window attention. Window and fading states are B'MOJO-F,
and all three B'MOJO (Zancato et al., NeurIPS 2024, arXiv 2407.06324). A small predictor estimates the next input; the
innovation, which measures surprise, is the norm of its error (see `innovation`). A block without attention is the
fading memory itself, for example Mamba2.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.memory.gated_delta import GatedDelta
from eidolon.models.memory.innovation import make_predictor
from eidolon.models.memory.kalman import GatedKalmaNet
from eidolon.models.memory.layout import FADING, Fading, Memory, Selection, Symbol
from eidolon.models.memory.mamba2 import Mamba2
from eidolon.models.memory.parts import (
    RMSNorm,
    at_least_float32,
    joined,
    product_dtype,
    read_before,
    without_autocast,
)
from eidolon.models.memory.rotary import Rotary
from eidolon.models.memory.state import BlockState, Span
from eidolon.models.memory.store import EMPTY, largest_indices, readable_mask


class BlockOutput(NamedTuple):
    """The result of a block."""

    output: Tensor
    """(batch, T, width)."""
    state: "BlockState"
    prediction_loss: Tensor | None
    """Mean squared error of the predictor over the tokens, None without a predictor. Its gradient reaches the predictor
    only."""


class MemoryBlock(nn.Module):
    """The block; its symbol determines its parts."""

    def __init__(self, width: int, memory: Memory, symbol: Symbol, layer: int) -> None:
        super().__init__()
        self.symbol, self.layer = symbol, layer
        self.heads, self.head_dim, self.chunk = memory.heads, memory.head_dim, memory.chunk
        self.window = None if symbol == "*" else memory.window
        self.store = memory.store if symbol == "BM" else 0
        self.selection: Selection = memory.selection
        fading: Fading | None = memory.fading if symbol in ("BMF", "BM") else None
        self.attends = symbol not in FADING
        if not self.attends:
            fading = next(kind for kind in FADING if kind == symbol)
        self.fading = make_fading(fading, width, memory) if fading else None
        if self.attends:
            inner = self.heads * self.head_dim
            self.query = nn.Linear(width, inner, bias=False)
            self.key_value = nn.Linear(width, 2 * inner, bias=False)
            self.out_proj = nn.Linear(inner, width, bias=False)
            self.rotary = Rotary(2 * int(memory.head_dim * memory.rotary / 2), memory.rotary_base)
        self.query_norm, self.key_norm = (
            RMSNorm(memory.head_dim) if self.attends and memory.query_key_norm else None for _ in range(2)
        )
        self.clipped = memory.store_position == "clipped"
        self.predictor = make_predictor(memory.predictor, width) if self.store else None

    @torch.no_grad()
    def align_queries_and_keys(self, before: Tensor | None = None) -> None:
        """Copy the queries' projection to the keys' at the start of training.

        A query then attends to similar tokens from the start; small models take long to learn it. With `before`, an
        orthogonal matrix (width, width), it attends to inputs that are a sum with `before` times a similar token.
        """
        if self.attends:
            rows = len(self.query.weight)
            self.key_value.weight[:rows].copy_(self.query.weight)
            read_before(self.key_value.weight, 0, rows, before)
        if self.fading is not None:
            self.fading.align_queries_and_keys(before)

    def forward(self, x: Tensor, mask: Tensor | None = None, state: BlockState | None = None) -> BlockOutput:
        """Return the output for (batch, T, width), with the state after it. `state` is the one before.

        `mask`, (batch, T), is False on padding, which must be before or after a sequence, not within it. The result
        does not depend on how a sequence is split into consecutive calls. Only a state without padding after its tokens
        can be continued.
        """
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask.bool()
        seen = state.seen if state else torch.zeros(len(x), dtype=torch.int64, device=x.device)
        fading, recurrent = (
            self.fading(x, mask, state.recurrent if state else None) if self.fading else (None, None)
        )
        positions = seen[:, None] + real.cumsum(1) - 1
        seen = seen + real.sum(1)
        if not self.attends:
            assert fading is not None
            return BlockOutput(fading, BlockState(seen, recurrent=recurrent), None)
        return self._attend(x, mask, real, positions, fading, state or self._empty(x), seen, recurrent)

    def _attend(
        self,
        x: Tensor,
        mask: Tensor | None,
        real: Tensor,
        positions: Tensor,
        fading: Tensor | None,
        state: BlockState,
        seen: Tensor,
        recurrent: object,
    ) -> BlockOutput:
        queries = self._by_head(self.query(x))
        if self.query_norm is not None:
            queries = self.query_norm(queries)
        tokens = self._span(x, positions, real)
        faded = None if fading is None else self._span(fading, positions, real)
        scores, loss, predicting = self._score(x, mask, real, positions, fading, state)
        # split once: a slice for each chunk would make a gradient of zeros for all tokens each time.
        chunks = tokens.split(self.chunk)
        faded_chunks = [None] * len(chunks) if faded is None else faded.split(self.chunk)
        score_chunks = [None] * len(chunks) if scores is None else scores.split(self.chunk, 1)
        outputs = []
        for piece in zip(
            queries.split(self.chunk, 2),
            chunks,
            faded_chunks,
            score_chunks,
            positions.split(self.chunk, 1),
            strict=True,
        ):
            output, state = self._chunk(*piece, state)
            outputs.append(output)
        attended = torch.cat(outputs, dim=2).transpose(1, 2).flatten(2)
        state = replace(self._full(state), seen=seen, recurrent=recurrent, predicting=predicting)
        return BlockOutput(self.out_proj(attended), state, loss)

    def _chunk(
        self,
        queries: Tensor,
        tokens: Span,
        faded: Span | None,
        scores: Tensor | None,
        positions: Tensor,
        state: BlockState,
    ) -> tuple[Tensor, BlockState]:
        """Return the output for a chunk's queries, (batch, heads, T, head_dim), and the state after the chunk."""
        length = queries.shape[2]
        assert state.window is not None
        past = state.window.real.shape[1]
        window = state.window.concat(tokens)
        row = torch.arange(length, device=queries.device)[:, None]
        column = torch.arange(past + length, device=queries.device)[None, :]
        near = column <= past + row
        if self.window is not None:
            near = near & (column > past + row - self.window)
        # Padding attends to itself, so that its softmax is not empty; its output is not used.
        seen = (near & window.real[:, None]) | (column == past + row)
        turned = self.rotary(queries, positions)
        sources, masks = [window], [seen]
        if faded is not None:
            assert state.fading is not None
            assert self.window is not None
            before = state.fading.concat(faded)
            offset = before.real.shape[1] - length
            # The newest fading state that is read is W positions back.
            readable = before.part(slice(0, max(0, offset + length - self.window)))
            column = torch.arange(readable.real.shape[1], device=queries.device)[None, :]
            beyond = (column <= offset + row - self.window) & (column > offset + row - 2 * self.window)
            if readable.real.shape[1]:
                sources.append(readable)
                masks.append(beyond & readable.real[:, None])
            state = replace(state, fading=before.last(2 * self.window - 1))
        scale = self.head_dim**-0.5
        output = None
        if self.store:
            candidates, mask, state = self._store(window, scores, positions, state)
            if mask.shape[2]:
                sources.append(candidates)
                masks.append(mask)
                if self.clipped:
                    output = _attend_two_forms(turned * scale, queries * scale, sources, masks)
        if output is None:
            output = functional.scaled_dot_product_attention(
                turned,
                joined([source.keys for source in sources]),
                joined([source.values for source in sources]),
                attn_mask=joined(masks)[:, None],
                scale=scale,
            )
        kept = window if self.window is None else window.last(self.window)
        return output, replace(state, window=kept)

    def _store(
        self, window: Span, scores: Tensor | None, positions: Tensor, state: BlockState
    ) -> tuple[Span, Tensor, BlockState]:
        """Move tokens from the window to the store.

        Returns the candidates, which query may read which of them, (batch, T, candidates), and the new state.
        """
        assert self.window is not None
        assert scores is not None
        assert state.scores is not None
        assert state.store is not None
        assert state.store_scores is not None
        assert state.store_positions is not None
        length = scores.shape[1]
        # Before W tokens are in the window, the first rows move none.
        entered = max(0, window.real.shape[1] - self.window)
        waiting = torch.cat([state.scores, scores], 1)
        entering = waiting[:, :entered]
        leaving, left = window.part(slice(0, entered)), positions[:, length - entered :] - self.window
        if self.clipped:
            leaving = replace(leaving, keys=self.rotary(leaving.keys, -left - self.window))
        candidates = state.store.concat(leaving)
        all_scores = torch.cat([state.store_scores, entering], 1)
        mask = functional.pad(
            readable_mask(state.store_scores, entering, self.store), (0, 0, length - entered, 0)
        )
        kept = largest_indices(all_scores, self.store)
        state = replace(
            state,
            scores=waiting[:, entered:].contiguous(),
            store=candidates.gather(kept),
            store_scores=all_scores.gather(1, kept),
            store_positions=torch.cat([state.store_positions, left], 1).gather(1, kept),
        )
        return candidates, mask, state

    def _score(
        self,
        x: Tensor,
        mask: Tensor | None,
        real: Tensor,
        positions: Tensor,
        fading: Tensor | None,
        state: BlockState,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return each token's score for the store, (batch, T), -inf for padding, the predictor's loss, and what the
        next token is predicted from."""
        if self.predictor is None:
            return None, None, None
        assert fading is not None
        assert state.predicting is not None
        precise = at_least_float32(x.dtype)
        with without_autocast(x.device):
            predicted, predicting = self.predictor(x.detach(), fading.detach(), mask, state.predicting)
        error = (x.detach().to(precise) - predicted).square()
        loss = (error.mean(-1) * real).sum() / real.sum().clamp(min=1)
        match self.selection:
            case "innovation":
                scores = error.detach().sum(-1).sqrt()
            case "recent":
                scores = positions.to(precise)
            case "random":
                scores = hash_positions(positions, self.layer).to(precise)
        return scores.masked_fill(~real, EMPTY), loss, predicting

    def _span(self, x: Tensor, positions: Tensor, real: Tensor) -> Span:
        keys, values = (self._by_head(part) for part in self.key_value(x).chunk(2, dim=-1))
        if self.key_norm is not None:
            keys = self.key_norm(keys)
        return Span(self.rotary(keys, positions), values, real)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.heads, self.head_dim).transpose(1, 2)

    def _empty(self, x: Tensor) -> BlockState:
        """Return the state before the first token, without the slots that no token has entered; see `_full`."""
        batch = len(x)

        def span() -> Span:
            zeros = x.new_zeros(batch, self.heads, 0, self.head_dim, dtype=product_dtype(x))
            return Span(zeros, zeros, torch.zeros(batch, 0, dtype=torch.bool, device=x.device))

        precise = at_least_float32(x.dtype)
        none = torch.zeros(batch, dtype=torch.int64, device=x.device)
        state = BlockState(none, window=span())
        if self.fading is not None and self.window is not None:
            state = replace(state, fading=span())
        if self.predictor is not None and self.window is not None:
            state = replace(
                state,
                scores=x.new_zeros((batch, 0), dtype=precise),
                store=span(),
                store_scores=x.new_zeros((batch, 0), dtype=precise),
                store_positions=none[:, None].expand(-1, 0),
                predicting=x.new_zeros(
                    batch, self.predictor.taps, self.predictor.features, dtype=product_dtype(x)
                ),
            )
        return state

    def _full(self, state: BlockState) -> BlockState:
        """Return the state with empty slots before the others, so that its size does not depend on the tokens.

        Within the first call a state has only the slots in use, which makes the attention over it cheaper.
        """
        if self.window is None:
            return state
        assert state.window is not None
        state = replace(state, window=state.window.padded(self.window))
        if state.fading is not None:
            state = replace(state, fading=state.fading.padded(2 * self.window - 1))
        if state.store is not None:
            assert state.scores is not None
            assert state.store_scores is not None
            assert state.store_positions is not None
            missing = self.store - state.store_scores.shape[1]
            state = replace(
                state,
                scores=functional.pad(state.scores, (self.window - state.scores.shape[1], 0), value=EMPTY),
                store=state.store.padded(self.store),
                store_scores=functional.pad(state.store_scores, (missing, 0), value=EMPTY),
                store_positions=functional.pad(state.store_positions, (missing, 0)),
            )
        return state


def _attend_two_forms(
    turned: Tensor, queries: Tensor, sources: Sequence[Span], masks: Sequence[Tensor]
) -> Tensor:
    """Return the output of scaled queries for the sources. The last source is the store.

    Stored keys are turned as if W tokens before the query, so that they meet the query as it is.
    """
    *near, store = sources
    keys = joined([source.keys for source in near])
    scores = torch.cat(
        [turned @ keys.transpose(-1, -2), queries @ store.keys.transpose(-1, -2)], -1
    ).masked_fill(~joined(masks)[:, None], -torch.inf)
    weights = scores.softmax(-1, dtype=at_least_float32(scores.dtype)).to(scores.dtype)
    return weights @ joined([source.values for source in sources])


def make_fading(kind: Fading, width: int, memory: Memory) -> Mamba2 | GatedDelta | GatedKalmaNet:
    """Return a fading memory of a kind."""
    kinds: dict[Fading, type[Mamba2 | GatedDelta | GatedKalmaNet]] = {
        "M2": Mamba2,
        "GDN": GatedDelta,
        "GKA": GatedKalmaNet,
    }
    return kinds[kind](width, memory.heads, memory.head_dim, chunk=memory.chunk)


def hash_positions(positions: Tensor, layer: int) -> Tensor:
    """Return a pseudorandom number in [0, 2^24) for each position and layer, int64.

    It is a common 32-bit integer hash of xor and multiplication, cut to the digits of a float32.
    """
    bits = (positions + 0x9E3779B9 * (layer + 1)) & 0xFFFFFFFF
    for multiplier in (0x7FEB352D, 0x846CA68B):
        bits = ((bits ^ (bits >> 16)) * multiplier) & 0xFFFFFFFF
    return (bits ^ (bits >> 16)) >> 8
