"""Answers of a causal model to prompts that begin alike: what they share is read once.

The 240 questions about one response share all of its text. The prompts form a tree: each node holds the keys and values
of the tokens that all prompts below it share, and only the rest of a prompt is read for that prompt alone. Prompts are
never padded, so positions and masks are those of a prompt that is read alone.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

WORTH = 64
"""A node is made if it saves the reading of at least this many tokens; each costs a forward pass of its own."""
PROBED = 8
"""Tokens on which it is checked that reading in two parts is reading at once."""


@dataclass(frozen=True, slots=True)
class _Node:
    """Prompts, in lexicographic order, whose first `depth` tokens are in the cache."""

    cache: Any
    depth: int
    members: Sequence[int]


def can_share(model: Any, row: Sequence[int]) -> bool:
    """Tell whether a model's answers may be computed from a shared cache, by reading the start of a prompt.

    It must keep plain keys and values in every layer. A recurrent state, a sliding window or a `generate` of the
    model's own rules it out, and so do logits that depend on where the reading was split.
    """
    from transformers import GenerationMixin
    from transformers.cache_utils import DynamicCache, DynamicLayer

    kind = type(model)
    methods = ("generate", "prepare_inputs_for_generation", "_update_model_kwargs_for_generation")
    if any(getattr(kind, name) is not getattr(GenerationMixin, name) for name in methods):
        return False
    if getattr(model, "_is_stateful", False) or len(row) < 2:
        return False
    tokens = torch.tensor([row[:PROBED]], device=model.device)
    with torch.inference_mode():
        at_once = model(input_ids=tokens, use_cache=True)
        cache = at_once.past_key_values
        if type(cache) is not DynamicCache or any(type(layer) is not DynamicLayer for layer in cache.layers):
            return False
        half = tokens.shape[1] // 2
        first = model(input_ids=tokens[:, :half], use_cache=True)
        second = model(input_ids=tokens[:, half:], past_key_values=first.past_key_values, use_cache=True)
    expected, found = at_once.logits[:, half:].float(), second.logits.float()
    tolerance = torch.finfo(model.dtype).eps ** 0.5 * float(expected.abs().max())
    return bool((expected - found).abs().max() <= tolerance)


class PrefixReader:
    """Greedy answers of one model. It keeps nothing between calls."""

    def __init__(self, model: Any, ends: Sequence[int], batch_size: int) -> None:
        """Take a model for which `can_share` is true, and the ids that end an answer."""
        self._model, self._ends, self._batch_size = model, frozenset(ends), batch_size
        self._keep = {"logits_to_keep": 1} if model._supports_logits_to_keep() else {}

    @torch.inference_mode()
    def answers(
        self, rows: Sequence[Sequence[int]], max_new_tokens: int, decided: Callable[[Sequence[int]], bool]
    ) -> list[list[int]]:
        """Return the new token ids for each prompt, its end token included.

        An answer also ends after a token at which `decided` is true of its tokens.
        """
        found: list[list[int]] = [[] for _ in rows]
        for cache, batch, suffixes in self._leaves(rows):
            new = self._continue(cache, suffixes, max_new_tokens, decided)
            for i, tokens_of_one in zip(batch, new, strict=True):
                found[i] = tokens_of_one
        return found

    @torch.inference_mode()
    def next_token_scores(
        self, rows: Sequence[Sequence[int]], score: Callable[[torch.Tensor], Sequence[float]]
    ) -> list[float]:
        """Return `score` of the logits (batch, vocabulary) after each prompt."""
        found = [0.0 for _ in rows]
        for cache, batch, suffixes in self._leaves(rows):
            tokens = torch.tensor([*map(list, suffixes)], device=self._model.device)
            scores = score(self._read(cache, tokens)[0])
            for i, value in zip(batch, scores, strict=True):
                found[i] = value
        return found

    def _leaves(self, rows: Sequence[Sequence[int]]) -> Iterator[tuple[Any, list[int], list[Sequence[int]]]]:
        """Yield the cache of what some prompts share, which prompts these are, and their last tokens, equally many."""
        nodes = [_Node(None, 0, sorted(range(len(rows)), key=lambda i: tuple(rows[i])))]
        while nodes:
            node = nodes.pop()
            leaves: dict[int, list[int]] = defaultdict(list)
            for part in _branches(rows, node):
                deeper = _shared(rows, part)
                if (len(part) - 1) * (deeper - node.depth) >= WORTH:
                    tokens = [rows[part[0]][node.depth : deeper]]
                    cache = self._read(
                        _spread(node.cache, 1), torch.tensor(tokens, device=self._model.device)
                    )[1]
                    nodes.append(_Node(cache, deeper, part))
                else:
                    for i in part:
                        leaves[len(rows[i])].append(i)
            for alike in leaves.values():
                for start in range(0, len(alike), self._batch_size):
                    batch = alike[start : start + self._batch_size]
                    yield _spread(node.cache, len(batch)), batch, [rows[i][node.depth :] for i in batch]

    def _continue(
        self,
        cache: Any,
        suffixes: Sequence[Sequence[int]],
        max_new_tokens: int,
        decided: Callable[[Sequence[int]], bool],
    ) -> list[list[int]]:
        """Answer prompts whose last tokens, equally many, are not in the cache yet."""
        new: list[list[int]] = [[] for _ in suffixes]
        open_rows = [*range(len(suffixes))]
        tokens = torch.tensor([*map(list, suffixes)], device=self._model.device)
        for _ in range(max_new_tokens):
            logits, cache = self._read(cache, tokens)
            chosen = logits.float().argmax(dim=-1)
            for i, token in zip(open_rows, chosen.tolist(), strict=True):
                new[i].append(token)
            going = [
                place
                for place, i in enumerate(open_rows)
                if new[i][-1] not in self._ends and not decided(new[i])
            ]
            if not going:
                break
            if len(going) < len(open_rows):
                index = torch.tensor(going, device=tokens.device)
                cache.batch_select_indices(index)
                chosen = chosen[index]
                open_rows = [open_rows[place] for place in going]
            tokens = chosen[:, None]
        return new

    def _read(self, cache: Any, tokens: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Return the logits after the last of (batch, width) tokens, (batch, vocabulary), and the cache."""
        output = self._model(input_ids=tokens, past_key_values=cache, use_cache=True, **self._keep)
        return output.logits[:, -1], output.past_key_values


def _branches(rows: Sequence[Sequence[int]], node: _Node) -> Iterator[list[int]]:
    """Yield the prompts of a node by the token that follows what they share."""
    part: list[int] = []
    for i in node.members:
        if part and rows[i][node.depth] != rows[part[0]][node.depth]:
            yield part
            part = []
        part.append(i)
    yield part


def _shared(rows: Sequence[Sequence[int]], part: Sequence[int]) -> int:
    """Return how many tokens sorted prompts share; not the last of any, which must be read for its answer."""
    first, last = rows[part[0]], rows[part[-1]]
    limit = min(len(rows[i]) for i in part) - 1
    return next((n for n in range(limit) if first[n] != last[n]), limit)


def _spread(cache: Any, count: int) -> Any:
    """Return a cache of one row as a cache of `count` rows that shares its memory. A read replaces its tensors."""
    if cache is None:
        return None
    spread = copy.copy(cache)
    spread.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in spread.layers:
        layer.keys = layer.keys.expand(count, -1, -1, -1)
        layer.values = layer.values.expand(count, -1, -1, -1)
    return spread
