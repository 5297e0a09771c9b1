"""Times the decoding of a token after a short and a long context, for every kind of memory, on random models.

    OMP_NUM_THREADS=1 python bench/memory_decode.py [--width 512] [--short 256] [--long 8192] [--tokens 40]

Each model reads its context once. Then tokens are decoded after the two contexts in turn, so that other load on the
machine affects both equally. Prints the medians, their ratio, the bytes of the states, and the floating-point
operations of one token.
"""

import argparse
import copy
import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.modeling import MemoryForCausalLM

LAYOUTS = ("*", "SWA", "M2", "GDN", "GKA", "BMF", "BM", "GDN-*")
PIECE = 1024
"""Tokens of a context that are read at once. It bounds the memory use."""


def build(layout: str, width: int) -> Any:
    """Return a random model with heads of 64 dimensions."""
    torch.manual_seed(0)
    config = MemoryTextConfig(
        vocab_size=1000, hidden_size=width, intermediate_size=2 * width, layout=layout, window=64, store=32,
        num_attention_heads=width // 64, head_dim=64,
    )  # fmt: skip
    return MemoryForCausalLM(config).eval()


def read(model: Any, length: int) -> Any:
    """Return the cache after a context of this length."""
    cache = None
    for piece in torch.randint(0, 1000, (1, length)).split(PIECE, 1):
        cache = model(piece, past_key_values=cache, use_cache=True, logits_to_keep=1).past_key_values
    return cache


def decode(model: Any, cache: Any) -> float:
    """Return the seconds to decode one more token."""
    token = torch.randint(0, 1000, (1, 1))
    began = time.perf_counter()
    model(token, past_key_values=cache, use_cache=True)
    return time.perf_counter() - began


def operations(model: Any, cache: Any) -> int:
    """Return the number of floating-point operations of one token."""
    counter = FlopCounterMode(display=False)
    with counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(torch.zeros(1, 1, dtype=torch.int64), past_key_values=copy.deepcopy(cache), use_cache=True)
    return int(counter.get_total_flops())


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--short", type=int, default=256)
    parser.add_argument("--long", type=int, default=8192)
    parser.add_argument("--tokens", type=int, default=40)
    given = parser.parse_args()
    for flag, least in (("width", 64), ("short", 1), ("long", 1), ("tokens", 1)):
        if getattr(given, flag) < least:
            parser.error(f"--{flag} {getattr(given, flag)}: must be at least {least}")
    if given.width % 64:
        parser.error(f"--width {given.width}: must be a multiple of 64, the size of a head")
    torch.set_num_threads(1)
    head = f"{'layout':8}{'ms short':>10}{'ms long':>10}{'ratio':>7}{'KiB short':>11}{'KiB long':>10}"
    print(f"{head}{'MFLOP short':>13}{'MFLOP long':>12}", flush=True)
    for layout in LAYOUTS:
        model = build(layout, given.width)
        caches = [read(model, length) for length in (given.short, given.long)]
        bytes_held = [cache.bytes_per_sequence() / 1024 for cache in caches]
        counted = [operations(model, cache) / 1e6 for cache in caches]
        times: list[list[float]] = [[], []]
        for _ in range(given.tokens):
            for taken, cache in zip(times, caches, strict=True):
                taken.append(decode(model, cache))
        short, long = (1000 * statistics.median(taken) for taken in times)
        print(
            f"{layout:8}{short:10.2f}{long:10.2f}{long / short:7.2f}{bytes_held[0]:11.0f}{bytes_held[1]:10.0f}"
            f"{counted[0]:13.2f}{counted[1]:12.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
