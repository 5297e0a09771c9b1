"""A connector that was never trained, by its weights alone."""

import pytest
import torch
from torch import nn

from eidolon.benchmark.verify.doctor.connector import untrained_connector
from eidolon.models.base.shipped import shipped_models


class Eye(nn.Module):
    """A model that is a connector alone."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.connector = nn.Sequential(*layers)
        self.head = nn.Linear(8, 8)


@pytest.mark.parametrize("seed", range(5))
def test_fresh_weights_look_untrained(seed: int) -> None:
    torch.manual_seed(seed)
    normal = nn.Linear(96, 64, bias=False)
    nn.init.normal_(normal.weight, std=0.02)
    uniform = nn.Linear(64, 32, bias=False)
    assert "(connector.0.weight) looks untrained" in str(untrained_connector(Eye(normal, uniform)))


def test_a_direction_that_was_learned_stands_out() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(96, 64, bias=False)
    with torch.no_grad():
        spread = layer.weight.std()
        layer.weight += 0.3 * spread * torch.outer(torch.randn(64), torch.randn(96))
    assert untrained_connector(Eye(layer)) is None


def test_a_bias_that_moved_was_trained() -> None:
    layer = nn.Linear(96, 64)
    assert untrained_connector(Eye(layer)) is None
    nn.init.zeros_(layer.bias)
    assert untrained_connector(Eye(layer)) is not None


def test_zeros_let_no_picture_through() -> None:
    layer = nn.Linear(96, 64, bias=False)
    nn.init.zeros_(layer.weight)
    assert "is all zeros" in str(untrained_connector(Eye(layer)))


def test_small_matrices_and_models_without_a_connector_are_not_judged() -> None:
    assert untrained_connector(Eye(nn.Linear(64, 4, bias=False))) is None
    assert untrained_connector(nn.Linear(64, 64)) is None


def test_the_shipped_models_are_trained() -> None:
    from safetensors.torch import load_file

    for folder in shipped_models().values():
        layer = nn.Linear(1, 1, bias=False)
        (weight,) = (t for n, t in load_file(folder / "model.safetensors").items() if "connector" in n)
        layer.weight = nn.Parameter(weight)
        assert untrained_connector(Eye(layer)) is None
