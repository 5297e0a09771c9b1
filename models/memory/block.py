"""One block for every memory: exact within a window, lossy beyond it, and exact again for what was surprising.

A query attends, in one softmax with the same projections for all,

    to the tokens of the window, itself the last                 h at [i-W+1, i]
    to the fading states from just before the window             F(h) at [i-2W+1, i-W]
    to the store: of all tokens up to i-W, the M most surprising h

With no bound on the window it is attention; with the window alone, sliding-window attention; with window and fading
states B'MOJO-F, and with all three B'MOJO (Zancato et al., NeurIPS 2024, arXiv 2407.06324). What is surprising is told
by a small predictor of the next input from the last fading state: the innovation is the length of its error. A block
without attention is the fading memory itself, Mamba2 for example.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.memory.gated_delta import GatedDelta
from eidolon.models.memory.kalman import GatedKalmaNet
from eidolon.models.memory.layout import FADING, Fading, Memory, Selection, Symbol
from eidolon.models.memory.mamba2 import Mamba2
from eidolon.models.memory.parts import at_least_float32, product_dtype, without_autocast
from eidolon.models.memory.rotary import Rotary
from eidolon.models.memory.store import EMPTY, keep, readable


class FadingMemory(Protocol):
    """A layer with a state of fixed size; `gated_delta.GatedDelta` says what the arguments are."""

    def __call__(
        self, x: Tensor, mask: Tensor | None = None, state: object | None = None
    ) -> tuple[Tensor, object]: ...


class Mixed(NamedTuple):
    """What a block makes of its input."""

    output: Tensor
    """(batch, T, width)."""
    state: "BlockState"
    prediction_loss: Tensor | None
    """Mean squared error of the predictor over the tokens, whose gradient reaches the predictor alone; None where
    there is none."""


@dataclass(frozen=True, slots=True)
class Span:
    """Keys and values of the last so many tokens, and which of them are tokens, not padding."""

    keys: Tensor
    """(batch, heads, length, head_dim)."""
    values: Tensor
    real: Tensor
    """(batch, length), bool."""

    def then(self, other: "Span") -> "Span":
        """Return the two, one after the other."""
        return Span(
            torch.cat([self.keys, other.keys], 2),
            torch.cat([self.values, other.values], 2),
            torch.cat([self.real, other.real], 1),
        )

    def cut(self, piece: slice) -> "Span":
        """Return those of a stretch."""
        return Span(self.keys[:, :, piece], self.values[:, :, piece], self.real[:, piece])

    def last(self, length: int) -> "Span":
        """Return the newest `length` of them, in memory of their own."""
        last = self.cut(slice(max(0, self.real.shape[1] - length), None))
        return Span(last.keys.contiguous(), last.values.contiguous(), last.real.contiguous())

    def at(self, places: Tensor) -> "Span":
        """Return those at places, (batch, n)."""
        wide = places[:, None, :, None].expand(-1, self.keys.shape[1], -1, self.keys.shape[3])
        return Span(self.keys.gather(2, wide), self.values.gather(2, wide), self.real.gather(1, places))


@dataclass(frozen=True, slots=True)
class BlockState:
    """What a block keeps of a sequence; None what its kind of memory lacks."""

    seen: Tensor
    """(batch,), int64: tokens so far, without padding."""
    window: Span | None = None
    """Of h: the last W tokens, the oldest of which is about to enter the store; all of them without a bound."""
    scores: Tensor | None = None
    """(batch, W): of the tokens in the window, by which they will be stored."""
    fading: Span | None = None
    """Of F(h): the last 2W - 1."""
    store: Span | None = None
    store_scores: Tensor | None = None
    """(batch, M), oldest token first; -inf where no token is."""
    store_positions: Tensor | None = None
    """(batch, M), int64: where the stored tokens stood."""
    last_fading: Tensor | None = None
    """(batch, width): the last fading state, from which the next input is predicted."""
    recurrent: object | None = None
    """The fading memory's own."""


class MemoryBlock(nn.Module):
    """The block; what it holds is settled by its symbol."""

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
        self.predictor = nn.Linear(width, width, bias=False) if self.store else None

    @torch.no_grad()
    def start_alike(self) -> None:
        """Make the keys' projection that of the queries, which training then lets part.

        So a query begins by finding what it resembles, which small models otherwise take long to learn.
        """
        if self.attends:
            self.key_value.weight[: len(self.query.weight)].copy_(self.query.weight)
        if self.fading is not None:
            self.fading.start_alike()

    def forward(self, x: Tensor, mask: Tensor | None = None, state: BlockState | None = None) -> Mixed:
        """Map (batch, T, width) to the same, going on from `state`; `mask`, (batch, T), is False on padding,
        which stands before a sequence or behind it, never within.

        Any cutting of a sequence into consecutive calls gives the same.
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
            return Mixed(fading, BlockState(seen, recurrent=recurrent), None)
        return self._attend(x, real, positions, fading, state or self._empty(x), seen, recurrent)

    def _attend(
        self,
        x: Tensor,
        real: Tensor,
        positions: Tensor,
        fading: Tensor | None,
        state: BlockState,
        seen: Tensor,
        recurrent: object,
    ) -> Mixed:
        queries = self.rotary(self._by_head(self.query(x)), positions)
        tokens = self._span(x, positions, real)
        faded = None if fading is None else self._span(fading, positions, real)
        scores, loss = self._score(x, real, positions, fading, state)
        outputs = []
        for start in range(0, x.shape[1], self.chunk):
            piece = slice(start, start + self.chunk)
            output, state = self._chunk(
                queries[:, :, piece],
                tokens.cut(piece),
                None if faded is None else faded.cut(piece),
                None if scores is None else scores[:, piece],
                positions[:, piece],
                state,
            )
            outputs.append(output)
        attended = torch.cat(outputs, dim=2).transpose(1, 2).flatten(2)
        state = replace(state, seen=seen, recurrent=recurrent)
        if state.last_fading is not None and fading is not None:
            newest = torch.where(real[:, -1:], fading[:, -1].detach(), state.last_fading)
            state = replace(state, last_fading=newest)
        return Mixed(self.out_proj(attended), state, loss)

    def _chunk(
        self,
        queries: Tensor,
        tokens: Span,
        faded: Span | None,
        scores: Tensor | None,
        positions: Tensor,
        state: BlockState,
    ) -> tuple[Tensor, BlockState]:
        """Answer a chunk's queries, (batch, heads, T, head_dim), and move on to its end."""
        length = queries.shape[2]
        assert state.window is not None
        held = state.window.real.shape[1]
        window = state.window.then(tokens)
        row = torch.arange(length, device=queries.device)[:, None]
        column = torch.arange(held + length, device=queries.device)[None, :]
        near = column <= held + row
        if self.window is not None:
            near = near & (column > held + row - self.window)
        # A row of padding sees itself, so that its softmax is not empty; nobody reads what comes of it.
        seen = (near & window.real[:, None]) | (column == held + row)
        sources, masks = [window], [seen]
        if faded is not None:
            assert state.fading is not None
            assert self.window is not None
            before = state.fading.then(faded)
            column = torch.arange(before.real.shape[1], device=queries.device)[None, :]
            offset = before.real.shape[1] - length  # 2W - 1: the newest fading state to be read is W before
            beyond = (column <= offset + row - self.window) & (column > offset + row - 2 * self.window)
            sources.append(before)
            masks.append(beyond & before.real[:, None])
            state = replace(state, fading=before.last(2 * self.window - 1))
        if self.store:
            candidates, mask, state = self._store(window, scores, positions, state)
            sources.append(candidates)
            masks.append(mask)
        output = functional.scaled_dot_product_attention(
            queries,
            torch.cat([source.keys for source in sources], 2),
            torch.cat([source.values for source in sources], 2),
            attn_mask=torch.cat(masks, 2)[:, None],
        )
        kept = window if self.window is None else window.last(self.window)
        return output, replace(state, window=kept)

    def _store(
        self, window: Span, scores: Tensor | None, positions: Tensor, state: BlockState
    ) -> tuple[Span, Tensor, BlockState]:
        """Let the tokens that leave the window enter the store; return what can be read, by whom, and the state."""
        assert self.window is not None
        assert scores is not None
        assert state.scores is not None
        assert state.store is not None
        assert state.store_scores is not None
        assert state.store_positions is not None
        length = scores.shape[1]
        waiting = torch.cat([state.scores, scores], 1)
        entering = waiting[:, :length]
        candidates = state.store.then(window.cut(slice(0, length)))
        all_scores = torch.cat([state.store_scores, entering], 1)
        mask = readable(state.store_scores, entering, self.store)
        kept = keep(all_scores, self.store)
        state = replace(
            state,
            scores=waiting[:, length:].contiguous(),
            store=candidates.at(kept),
            store_scores=all_scores.gather(1, kept),
            store_positions=torch.cat([state.store_positions, positions - self.window], 1).gather(1, kept),
        )
        return candidates, mask, state

    def _score(
        self, x: Tensor, real: Tensor, positions: Tensor, fading: Tensor | None, state: BlockState
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return each token's score for the store, (batch, T), -inf for padding, and the predictor's loss."""
        if self.predictor is None:
            return None, None
        assert fading is not None
        assert state.last_fading is not None
        precise = at_least_float32(x.dtype)
        target = x.detach().to(precise)
        before = torch.cat([state.last_fading[:, None], fading[:, :-1].detach()], 1)
        # Behind padding comes the last state of a token, not one of padding.
        first = real & (real.cumsum(1) == 1)
        before = torch.where(first[..., None], state.last_fading[:, None], before)
        with without_autocast(x.device):
            predicted = functional.linear(before.to(precise), self.predictor.weight.to(precise))
        error = (target - predicted).square()
        loss = (error.mean(-1) * real).sum() / real.sum().clamp(min=1)
        match self.selection:
            case "innovation":
                scores = error.detach().sum(-1).sqrt()
            case "recent":
                scores = positions.to(precise)
            case "random":
                scores = scatter(positions, self.layer).to(precise)
        return scores.masked_fill(~real, EMPTY), loss

    def _span(self, x: Tensor, positions: Tensor, real: Tensor) -> Span:
        keys, values = (self._by_head(part) for part in self.key_value(x).chunk(2, dim=-1))
        return Span(self.rotary(keys, positions), values, real)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.heads, self.head_dim).transpose(1, 2)

    def _empty(self, x: Tensor) -> BlockState:
        """Return the state before the first token."""
        batch = len(x)

        def span(length: int) -> Span:
            zeros = x.new_zeros(batch, self.heads, length, self.head_dim, dtype=product_dtype(x))
            return Span(zeros, zeros, torch.zeros(batch, length, dtype=torch.bool, device=x.device))

        precise = at_least_float32(x.dtype)
        none = torch.zeros(batch, dtype=torch.int64, device=x.device)
        state = BlockState(none, window=span(self.window or 0))
        if self.fading is not None and self.window is not None:
            state = replace(state, fading=span(2 * self.window - 1))
        if self.store and self.window is not None:
            state = replace(
                state,
                scores=x.new_full((batch, self.window), EMPTY, dtype=precise),
                store=span(self.store),
                store_scores=x.new_full((batch, self.store), EMPTY, dtype=precise),
                store_positions=none[:, None].expand(-1, self.store),
                last_fading=x.new_zeros(batch, x.shape[2], dtype=product_dtype(x)),
            )
        return state


def make_fading(kind: Fading, width: int, memory: Memory) -> Mamba2 | GatedDelta | GatedKalmaNet:
    """Build a fading memory."""
    kinds: dict[Fading, type[Mamba2 | GatedDelta | GatedKalmaNet]] = {
        "M2": Mamba2,
        "GDN": GatedDelta,
        "GKA": GatedKalmaNet,
    }
    return kinds[kind](width, memory.heads, memory.head_dim, chunk=memory.chunk)


def scatter(positions: Tensor, layer: int) -> Tensor:
    """Return a number in [0, 2^24) for each position, int64, that looks random and is always the same.

    The rounds of xor and multiplication are those of a usual 32-bit integer hash; a float32 holds the result.
    """
    bits = (positions + 0x9E3779B9 * (layer + 1)) & 0xFFFFFFFF
    for multiplier in (0x7FEB352D, 0x846CA68B):
        bits = ((bits ^ (bits >> 16)) * multiplier) & 0xFFFFFFFF
    return (bits ^ (bits >> 16)) >> 8
