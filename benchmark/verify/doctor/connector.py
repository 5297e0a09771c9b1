"""Whether the weights between a model's eye and its language model were ever trained.

A matrix of independent random numbers of standard deviation s, of shape (m, n), has no singular value much above
s·(√m + √n) (Marchenko and Pastur 1967). Training adds directions that stand out. So a connector whose matrices all stay
below that bound, with biases of zero, is as it was drawn.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CONNECTORS = re.compile(
    r"(?:^|[._])(?:connector|multi_modal_projector|mm_projector|projector|merger|aligner)(?:[._]|$)"
)
LAST_OF_TOWER = re.compile(r"(?:^|[.])vision_tower[.]encoder_layers[.](\d+)[.]projection[.]weight$")
"""Inkling's vision tower ends in the projection to the language model, which has no name of its own."""
MARGIN = 1.1
"""Factor above the bound up to which a singular value may be chance. 400 random matrices
of 32 by 32 reach 1.07."""
SMALLEST = 16
"""Rows or columns below which chance decides."""


def untrained_connector(model: "torch.nn.Module") -> str | None:
    """Return why a model's connector looks untrained, None if it looks trained or there is none."""
    import torch

    matrices = [(name, weight.detach().float()) for name, weight in _parameters(model) if weight.dim() == 2]
    if not matrices or any(
        weight.is_meta for _, weight in matrices
    ):  # offloaded: there is nothing to look at
        return None
    if not any(bool(weight.any()) for _, weight in matrices):
        return f"the connector ({matrices[0][0]}) is all zeros: no picture reaches the language model"
    if any(bool(bias.detach().any()) for name, bias in _parameters(model) if name.endswith("bias")):
        return None
    for _, weight in matrices:
        rows, columns = weight.shape
        if min(rows, columns) < SMALLEST:
            return None
        spread = float(weight.std())
        largest = float(torch.linalg.matrix_norm(weight, ord=2))
        if largest > MARGIN * spread * (rows**0.5 + columns**0.5):
            return None
    return (
        f"the connector ({matrices[0][0]}) looks untrained: its weights are random numbers without any direction that "
        "stands out"
    )


def _parameters(model: "torch.nn.Module") -> Iterator[tuple[str, "torch.nn.Parameter"]]:
    """Yield the parameters of the connector; without one by name, the last projection of an Inkling's vision tower."""
    named = [(name, one) for name, one in model.named_parameters() if CONNECTORS.search(name)]
    if named:
        yield from named
        return
    layers = [
        (int(found[1]), name, one)
        for name, one in model.named_parameters()
        if (found := LAST_OF_TOWER.search(name))
    ]
    if layers:
        _, name, one = max(layers, key=lambda layer: layer[0])
        yield name, one
