"""What remembering costs: bytes that a sequence's memory holds, and how fast the next token is decoded after it.

Both are counted of a real model that has really read so many tokens. Speeds of all variants are taken in turn, in one
process, step by step, so that whatever else the machine does falls on all alike; what to look at is their ratio. On one
CPU thread it is the thread's own time that counts, which other programs hardly change.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from eidolon.models.memory.layout import Memory
from eidolon.scorers.core.types import Record

if TYPE_CHECKING:
    import torch

    from eidolon.models.memory.cache import MemoryCache
    from eidolon.models.memory.modeling import MemoryTextModel

LENGTHS = (128, 256, 512, 1024, 2048, 8192)
"""Tokens that have been read when bytes are counted and steps timed."""
READ_AT_ONCE = 256
ROUNDS, STEPS, WARM_UP = 5, 6, 2
"""Steps of one token that are timed of a variant before it is another's turn; and those before the first round."""


class Cost(Record):
    """Of one variant, by tokens read."""

    dtype: str
    """The precision of the computation, as torch calls it."""
    bytes_at: dict[int, int]
    """Of one sequence's memory, as it is in this precision."""
    ms_per_token: dict[int, float]
    """Median time of a decoding step of one sequence, milliseconds."""


class CostFile(Record):
    """`cost.json`: what was measured, and of which weights."""

    machine: str
    """What computed: processor or device, and threads."""
    digests: dict[str, str]
    """By variant, SHA-256 of the checkpoint that was taken."""
    lengths: tuple[int, ...] = LENGTHS
    costs: dict[str, Cost]

    @classmethod
    def read(cls, path: Path, digests: Mapping[str, str], machine: str) -> "CostFile | None":
        """Return the file's content where it is of these checkpoints, all in one process on this machine; else None."""
        try:
            found = cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        same = found.digests == dict(digests) and found.machine == machine and found.lengths == LENGTHS
        return found if same else None


@dataclass(slots=True)
class _Turn:
    """A language model in the midst of a text."""

    model: "MemoryTextModel"
    cache: "MemoryCache"
    head: "torch.Tensor"

    def read(self, tokens: "torch.Tensor") -> None:
        hidden: Any = self.model(tokens, past_key_values=self.cache, use_cache=True).last_hidden_state
        _ = hidden[:, -1:] @ self.head.T


def measure_cost(
    models: Mapping[str, "MemoryTextModel"], lengths: Sequence[int] = LENGTHS
) -> dict[str, Cost]:
    """Let every model read the same tokens; return what each variant's memory holds and how fast it goes on."""
    import torch

    from eidolon.models.memory.cache import MemoryCache

    turns = {
        name: _Turn(model, MemoryCache(model.config.memory), model.embed_tokens.weight)
        for name, model in models.items()
    }
    sizes: dict[str, dict[int, int]] = {name: {} for name in models}
    speeds: dict[str, dict[int, float]] = {name: {} for name in models}
    read = 0
    with torch.inference_mode():
        for length in sorted(lengths):
            for turn in turns.values():
                for piece in torch.split(_tokens(turn.model, read, length), READ_AT_ONCE, dim=1):
                    turn.read(piece)
            for name, turn in turns.items():
                sizes[name][length] = turn.cache.bytes_per_sequence()
            for name, taken in _time(turns, length).items():
                speeds[name][length] = 1000 * median(taken)
            read = length
    return {
        name: Cost(
            dtype=str(model.dtype).removeprefix("torch."),
            bytes_at=sizes[name],
            ms_per_token=speeds[name],
        )
        for name, model in models.items()
    }


def bytes_per_sequence(model: "MemoryTextModel", tokens: int) -> int:
    """Return the bytes that one sequence's memory holds once so many tokens have been read."""
    import torch

    from eidolon.models.memory.cache import MemoryCache

    turn = _Turn(model, MemoryCache(model.config.memory), model.embed_tokens.weight)
    with torch.inference_mode():
        for piece in torch.split(_tokens(model, 0, tokens), READ_AT_ONCE, dim=1):
            turn.read(piece)
    return turn.cache.bytes_per_sequence()


def attention_length(size: int, memory: Memory, width: int, dtype: str) -> float:
    """Return after how many tokens full attention, of as many layers and heads, would hold so many bytes of a dtype."""
    import torch

    from eidolon.models.memory.configuration import MemoryTextConfig
    from eidolon.models.memory.modeling import MemoryTextModel

    full = memory.model_copy(update={"layout": ("*",) * len(memory.layout)})
    with torch.random.fork_rng():
        model = MemoryTextModel(
            MemoryTextConfig.of(full, hidden_size=width, intermediate_size=4, vocab_size=8)
        ).to(getattr(torch, dtype))
    few, many = 16, 48
    at_few, at_many = (bytes_per_sequence(model, count) for count in (few, many))
    slope = (at_many - at_few) / (many - few)
    return max(0.0, few + (size - at_few) / slope)


def _time(turns: Mapping[str, _Turn], at: int) -> dict[str, list[float]]:
    """Return the seconds of each step from here; the turns themselves stay where they are."""
    import torch

    alone = torch.get_num_threads() == 1 and all(turn.model.device.type == "cpu" for turn in turns.values())
    clock = time.thread_time if alone else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in turns}
    turns = {name: replace(turn, cache=copy.deepcopy(turn.cache)) for name, turn in turns.items()}
    done = 0
    for steps in (WARM_UP, *[STEPS] * ROUNDS):
        for name, turn in turns.items():
            for step in range(steps):
                token = _tokens(turn.model, at + done + step, at + done + step + 1)
                _wait(turn.model)
                start = clock()
                turn.read(token)
                _wait(turn.model)
                if done:
                    taken[name].append(clock() - start)
        done += steps
    return taken


def _wait(model: "MemoryTextModel") -> None:
    """Let a device finish what it was told; a CPU has."""
    import torch

    if model.device.type != "cpu":
        getattr(torch, model.device.type).synchronize()


def _tokens(model: "MemoryTextModel", start: int, end: int) -> "torch.Tensor":
    """Return some text: ids that go round the vocabulary in steps without a common divisor with most sizes."""
    import torch

    text: torch.Tensor = (torch.arange(start, end) * 7919) % model.config.vocab_size
    return text[None].to(model.device)
