"""The predictors of the innovation, and their R²."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eidolon.models.memory.innovation import TAPS, ConvolutionPredictor, make_predictor, predictors_r_squared

WIDTH = 6


def sequences(length: int = 400, batch: int = 3) -> tuple[Tensor, Tensor]:
    """Return inputs that follow from the one two tokens before and from the last fading state, with noise, and these
    states."""
    random = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random)).Q
    x, fading = torch.zeros(batch, length, WIDTH), torch.randn(batch, length, WIDTH, generator=random)
    for t in range(2, length):
        noise = 0.5 * torch.randn(batch, WIDTH, generator=random)
        x[:, t] = 0.7 * x[:, t - 2] @ turn + 0.6 * fading[:, t - 1] + noise + 1
    return x, fading


class Passing(nn.Module):
    """A model with a predictor."""

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, x: Tensor, fading: Tensor, real: Tensor | None = None) -> Any:
        past = x.new_zeros(len(x), self.predictor.taps, self.predictor.features)
        return self.predictor(x, fading, real, past)


def trained(kind: str) -> Passing:
    """Return a predictor after gradient descent on its own loss."""
    torch.manual_seed(0)
    model = Passing(make_predictor(kind, WIDTH))  # type: ignore[arg-type]
    x, fading = sequences()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        optimiser.zero_grad()
        (model(x, fading)[0] - x).square().mean().backward()
        optimiser.step()
    return model


def test_a_convolution_predicts_what_the_last_state_alone_cannot() -> None:
    x, fading = sequences(300, 2)
    found = {
        kind: predictors_r_squared(model := trained(kind), lambda model=model: model(x, fading))[0]
        for kind in ("convolution", "last")
    }
    assert found["convolution"] > 0.6
    assert found["last"] < 0.4


@pytest.mark.parametrize("kind", ["convolution", "last"])
def test_r_squared_is_that_of_its_definition(kind: str) -> None:
    """Over all tokens together, in two calls, and without padding."""
    model = trained(kind)
    x, fading = sequences(50, 2)
    real = torch.ones(2, 50, dtype=torch.bool)
    real[1, :20] = False

    def run() -> None:
        model(x[:1], fading[:1], real[:1])
        model(x[1:], fading[1:], real[1:])

    found = predictors_r_squared(model, run)
    kept = x[real].double().numpy()
    predicted = model(x, fading, real)[0][real].detach().double().numpy()
    expected = 1 - np.square(kept - predicted).sum() / np.square(kept - kept.mean(0)).sum()
    assert found == (pytest.approx(expected, abs=1e-6),)


def test_r_squared_needs_tokens() -> None:
    with pytest.raises(ValueError, match="no token"):
        predictors_r_squared(Passing(ConvolutionPredictor(WIDTH)), lambda: None)
    assert predictors_r_squared(nn.Linear(2, 2), lambda: None) == ()


@pytest.mark.parametrize("kind", ["convolution", "last"])
def test_padding_on_either_side_changes_no_prediction(kind: str) -> None:
    model = trained(kind)
    x, fading = sequences(20, 1)
    plain, past = model(x, fading)
    noise = torch.full((1, 3, WIDTH), torch.nan)
    for left in (0, 3):
        wide, wide_fading = (torch.cat([noise[:, :left], part, noise[:, left:]], 1) for part in (x, fading))
        real = torch.zeros(1, 23, dtype=torch.bool)
        real[:, left : left + 20] = True
        padded, newest = model(wide, wide_fading, real)
        torch.testing.assert_close(padded[:, left : left + 20], plain)
        torch.testing.assert_close(newest, past)
    assert past.shape[1] == (TAPS if kind == "convolution" else 1)
