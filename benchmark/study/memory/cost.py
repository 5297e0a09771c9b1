"""Measures the cost of memory: bytes for one sequence, and decoding speed, by the number of tokens read.

Both are measured on a model that has read the tokens. The steps of all variants at all lengths are timed in turn in one
process. Other load on the machine affects all equally, so their ratios are comparable. On one CPU thread, the CPU time
of the thread is measured, which other programs hardly affect.
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
"""Numbers of tokens after which bytes are counted and steps are timed."""
READ_AT_ONCE = 256
"""Tokens in a forward pass of reading."""
ROUNDS, STEPS, WARM_UP = 12, 6, 2
"""Number of rounds, of timed steps of a reader in each round, and of untimed steps before the first round. The median
over the rounds holds on a machine with other load."""


class Cost(Record):
    """The cost of one variant, by the number of tokens read."""

    dtype: str
    """The precision of the computation: the name of the torch dtype."""
    bytes_at: dict[int, int]
    """Bytes of the memory of one sequence, in this precision."""
    ms_per_token: dict[int, float]
    """Median time of a decoding step of one sequence, in milliseconds."""


class CostFile(Record):
    """The content of `cost.json`."""

    machine: str
    """The processor or device, and the number of threads."""
    digests: dict[str, str]
    """By variant, SHA-256 of the measured checkpoint."""
    lengths: tuple[int, ...] = LENGTHS
    costs: dict[str, Cost]

    @classmethod
    def read(cls, path: Path, digests: Mapping[str, str], machine: str) -> "CostFile | None":
        """Return the content of the file if it is about these checkpoints on this machine, else None."""
        try:
            found = cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        same = found.digests == dict(digests) and found.machine == machine and found.lengths == LENGTHS
        return found if same else None


@dataclass(slots=True)
class _Reader:
    """A language model with the cache of a text that it has read in part."""

    model: "MemoryTextModel"
    cache: "MemoryCache"
    head: "torch.Tensor"

    def read(self, tokens: "torch.Tensor") -> None:
        hidden: Any = self.model(tokens, past_key_values=self.cache, use_cache=True).last_hidden_state
        _ = hidden[:, -1:] @ self.head.T


def measure_cost(
    models: Mapping[str, "MemoryTextModel"], lengths: Sequence[int] = LENGTHS
) -> dict[str, Cost]:
    """Return the cost of each variant. All models read the same tokens."""
    import torch

    from eidolon.models.memory.cache import MemoryCache

    readers = {
        name: _Reader(model, MemoryCache(model.config.memory), model.embed_tokens.weight)
        for name, model in models.items()
    }
    at_lengths: dict[tuple[str, int], _Reader] = {}
    read = 0
    with torch.inference_mode():
        for length in sorted(lengths):
            for name, reader in readers.items():
                for piece in torch.split(_tokens(reader.model, read, length), READ_AT_ONCE, dim=1):
                    reader.read(piece)
                at_lengths[name, length] = replace(reader, cache=copy.deepcopy(reader.cache))
            read = length
        sizes = {key: reader.cache.bytes_per_sequence() for key, reader in at_lengths.items()}
        taken = _time(at_lengths)
    return {
        name: Cost(
            dtype=str(model.dtype).removeprefix("torch."),
            bytes_at={length: sizes[name, length] for length in sorted(lengths)},
            ms_per_token={length: 1000 * median(taken[name, length]) for length in sorted(lengths)},
        )
        for name, model in models.items()
    }


def bytes_per_sequence(model: "MemoryTextModel", tokens: int) -> int:
    """Return the bytes of the memory of one sequence after `tokens` tokens."""
    import torch

    from eidolon.models.memory.cache import MemoryCache

    reader = _Reader(model, MemoryCache(model.config.memory), model.embed_tokens.weight)
    with torch.inference_mode():
        for piece in torch.split(_tokens(model, 0, tokens), READ_AT_ONCE, dim=1):
            reader.read(piece)
    return reader.cache.bytes_per_sequence()


def attention_length(size: int, memory: Memory, width: int, dtype: str) -> float:
    """Return the number of tokens after which full attention, with the same layers and heads, has `size` bytes."""
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


def _time(readers: Mapping[tuple[str, int], _Reader]) -> dict[tuple[str, int], list[float]]:
    """Return the seconds of each next step by variant and length. It changes the caches of the readers."""
    import torch

    alone = torch.get_num_threads() == 1 and all(
        reader.model.device.type == "cpu" for reader in readers.values()
    )
    clock = time.thread_time if alone else time.perf_counter
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in readers}
    done = 0
    for steps in (WARM_UP, *[STEPS] * ROUNDS):
        for (name, length), reader in readers.items():
            for step in range(length + done, length + done + steps):
                token = _tokens(reader.model, step, step + 1)
                _wait(reader.model)
                start = clock()
                reader.read(token)
                _wait(reader.model)
                if done:
                    taken[name, length].append(clock() - start)
        done += steps
    return taken


def _wait(model: "MemoryTextModel") -> None:
    """Wait until a device has finished. A CPU computes synchronously."""
    import torch

    if model.device.type != "cpu":
        getattr(torch, model.device.type).synchronize()


def _tokens(model: "MemoryTextModel", start: int, end: int) -> "torch.Tensor":
    """Return token ids in steps that have no common divisor with most sizes of vocabularies."""
    import torch

    text: torch.Tensor = (torch.arange(start, end) * 7919) % model.config.vocab_size
    return text[None].to(model.device)
