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


class Tower(nn.Module):
    """A vision tower whose last layer projects to the language model, as Inkling's."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.vision_tower = nn.Module()
        self.vision_tower.encoder_layers = nn.ModuleList(nn.Module() for _ in range(layers))
        for layer in self.vision_tower.encoder_layers:
            layer.projection = nn.Linear(48, 48, bias=False)


def test_the_last_projection_of_a_vision_tower_is_its_connector() -> None:
    model = Tower(12)  # 11 is the last, and comes before 9 in the order of the names
    for layer in model.vision_tower.encoder_layers[:-1]:
        nn.init.ones_(layer.projection.weight)
    assert "(vision_tower.encoder_layers.11.projection.weight) looks untrained" in str(
        untrained_connector(model)
    )
    nn.init.ones_(model.vision_tower.encoder_layers[-1].projection.weight)
    assert untrained_connector(model) is None


def test_a_connector_with_a_name_comes_before_the_tower() -> None:
    model = Tower(2)
    model.add_module("connector", nn.Linear(48, 48, bias=False))
    nn.init.ones_(model.get_submodule("connector").weight)
    assert untrained_connector(model) is None
