"""The cost of a decoded token after 256 tokens and after 8,192: counted, not timed, with models 512 wide.

They live on torch's meta device, where operations have shapes and no values: the counts are the same.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from eidolon.models.memory.cache import MemoryCache
from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.modeling import MemoryForCausalLM

SHORT, LONG = 256, 8192
WITHOUT_ATTENTION = ("SWA", "M2", "GDN", "GKA", "BMF", "BM", "GDN-SWA", "BM-M2")


def cost(layout: str, read: int) -> tuple[int, int]:
    """Return floating-point operations of the next token, and bytes of the states after it."""
    config = MemoryTextConfig(
        vocab_size=1000, hidden_size=512, intermediate_size=1024, layout=layout, window=64, store=32,
        num_attention_heads=8, head_dim=64,
    )  # fmt: skip
    with torch.device("meta"), torch.no_grad():
        model = MemoryForCausalLM(config).eval()
        outputs = model(torch.zeros(1, read, dtype=torch.int64), logits_to_keep=1)
        counter = FlopCounterMode(display=False)
        with counter:
            outputs = model(torch.zeros(1, 1, dtype=torch.int64), past_key_values=outputs.past_key_values)
    cache = outputs.past_key_values
    assert isinstance(cache, MemoryCache)
    assert cache.get_seq_length() == read + 1
    return counter.get_total_flops(), cache.bytes_per_sequence()


@pytest.mark.parametrize("layout", WITHOUT_ATTENTION)
def test_without_full_attention_it_is_flat(layout: str) -> None:
    (short, first_bytes), (long, last_bytes) = cost(layout, SHORT), cost(layout, LONG)
    assert 0 < long <= 1.2 * short
    assert last_bytes == first_bytes


@pytest.mark.parametrize("layout", ["*", "GDN-*"])
def test_with_full_attention_it_grows(layout: str) -> None:
    (short, first_bytes), (long, last_bytes) = cost(layout, SHORT), cost(layout, LONG)
    # Two products of 512 for each further token, and its key and value in float32.
    assert long - short == (LONG - SHORT) * 2 * 2 * 512
    assert last_bytes - first_bytes == (LONG - SHORT) * (2 * 512 * 4 + 1)
    assert long > 1.5 * short
