"""Changes which tokens the stores of a trained model keep, to measure whether the choice matters."""

from typing import Any

from torch import nn

from eidolon.models.memory.block import MemoryBlock
from eidolon.models.memory.layout import Selection


def select_by(model: nn.Module, selection: Selection) -> int:
    """Make every store of the model keep tokens by another rule. Returns the number of stores.

    No weight changes.
    """
    blocks = [block for block in model.modules() if isinstance(block, MemoryBlock) and block.store]
    for block in blocks:
        block.selection = selection
    config: Any = getattr(model, "config", None)
    if blocks and config is not None:
        config.get_text_config().selection = selection
    return len(blocks)
