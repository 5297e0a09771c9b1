import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from eidolon.models.memory import mamba2
from eidolon.models.memory.decay import decays
from eidolon.models.memory.mamba2 import Mamba2, ssd
from tests.models.memory.mixer_checks import CHECKS, Build, build, inputs, pieces_equal_the_whole_in_float32


def recurrence(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The definition, one number of the state at a time: h[n, p] ← e^{Δ a} h[n, p] + Δ B[n] x[p]."""
    batch, length, heads, width = x.shape
    h = torch.zeros(batch, heads, b.shape[-1], width, dtype=torch.float64) if state is None else state.clone()
    y = torch.zeros(batch, length, heads, width, dtype=torch.float64)
    for row in range(batch):
        for head in range(heads):
            for t in range(length):
                step = dt[row, t, head]
                for n in range(b.shape[-1]):
                    h[row, head, n] = (
                        torch.exp(step * a[head]) * h[row, head, n] + step * b[row, t, n] * x[row, t, head]
                    )
                    y[row, t, head] += c[row, t, n] * h[row, head, n]
    return y, h


def arguments(length: int, *, seed: int = 0, batch: int = 2, heads: int = 2) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    x, dt, b, c = (
        torch.randn(batch, length, *shape, dtype=torch.float64, generator=random)
        for shape in ((heads, 3), (heads,), (5,), (5,))
    )
    a = -torch.tensor([16.0, 1.0], dtype=torch.float64)[:heads]
    state = torch.randn(batch, heads, 5, 3, dtype=torch.float64, generator=random)
    return x, (2 * dt - 2).exp(), a, b, c, state


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 30])
@pytest.mark.parametrize("with_state", [False, True])
def test_ssd_is_the_recurrence(length: int, with_state: bool) -> None:
    *given_, state = arguments(length)
    before = state if with_state else None
    y, last = ssd(*given_, before, chunk=8)
    expected, expected_last = recurrence(*given_, before)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, expected_last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_ssd_in_float32_is_the_recurrence_to_1e_5(chunk: int) -> None:
    given_ = arguments(70)
    # Strong decay first: later tokens of the chunk must not lose digits.
    given_[1][:, :40] *= 30
    y, last = ssd(*(part.float() for part in given_), chunk=chunk)
    expected, expected_last = recurrence(*given_)
    assert (y - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (last - expected_last).abs().max() <= 1e-5 * expected_last.abs().max()


@pytest.mark.parametrize("length", [1, 7])
def test_gradient_of_ssd(length: int) -> None:
    given_ = tuple(part.requires_grad_() for part in arguments(length, batch=1))
    assert torch.autograd.gradcheck(lambda *parts: ssd(*parts, chunk=3), given_)


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=12))
@settings(max_examples=50)
def test_decays_are_products_of_the_factors_between(logarithms: list[float]) -> None:
    g = torch.tensor(logarithms, dtype=torch.float64)
    within, from_start = decays(g)
    for t in range(len(g)):
        assert from_start[t].item() == pytest.approx(math.exp(math.fsum(logarithms[: t + 1])))
        for s in range(len(g)):
            expected = math.exp(math.fsum(logarithms[s + 1 : t + 1])) if s <= t else 0.0
            assert within[t, s].item() == pytest.approx(expected)


def naive_layer(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer, token by token, from its weights alone."""
    weights = {name: parameter.detach() for name, parameter in layer.named_parameters()}
    heads, dim = 3, 4
    inner, state = heads * dim, 4
    outputs = torch.zeros_like(x)
    for row in range(len(x)):
        h = torch.zeros(heads, state, dim, dtype=x.dtype)
        past = [torch.zeros(inner + 2 * state, dtype=x.dtype) for _ in range(3)]
        for t in range(x.shape[1]):
            token = x[row, t]
            projected = weights["in_proj.weight"] @ token
            past.append(projected[: inner + 2 * state])
            mixed = sum(weights["convolution.weight"][:, lag] * past[t + lag] for lag in range(4))
            mixed = mixed * torch.sigmoid(mixed)
            values, b, c = (
                mixed[:inner].view(heads, dim),
                mixed[inner : inner + state],
                mixed[inner + state :],
            )
            dt = torch.log1p(torch.exp(weights["steps.weight"] @ token + weights["dt_bias"]))
            y = torch.zeros(heads, dim, dtype=x.dtype)
            for head in range(heads):
                decay = torch.exp(-dt[head] * torch.exp(weights["a_log"][head]))
                h[head] = decay * h[head] + dt[head] * torch.outer(b, values[head])
                y[head] = c @ h[head] + weights["skip"][head] * values[head]
            gate = projected[inner + 2 * state :]
            gated = y.flatten() * gate * torch.sigmoid(gate)
            normed = gated / torch.sqrt(gated.square().mean() + 1e-6) * weights["norm.weight"]
            outputs[row, t] = weights["out_proj.weight"] @ normed
    return outputs


def test_layer_is_its_naive_twin() -> None:
    layer, x = build(Mamba2), inputs()
    with torch.no_grad():
        layer.get_parameter("skip").copy_(torch.tensor([0.5, -1.0, 2.0]))
        layer.get_parameter("norm.weight").uniform_(0.5, 2)
    torch.testing.assert_close(layer(x)[0], naive_layer(layer, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_as_every_mixer(check: Callable[[Build], None]) -> None:
    check(Mamba2)


def test_pieces_equal_the_whole_in_float32() -> None:
    pieces_equal_the_whole_in_float32(Mamba2, 1e-6)


def test_autocast_stays_out_of_the_recurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, Any, Any]] = []

    def spy(*parts: Any, **options: Any) -> Any:
        calls.append((parts, options, ssd(*parts, **options)))
        return calls[-1][-1]

    monkeypatch.setattr(mamba2, "ssd", spy)
    with torch.autocast("cpu", torch.bfloat16):
        build(Mamba2, dtype=torch.float32)(inputs(dtype=torch.float32))
    parts, options, (y, last) = calls[0]
    expected, expected_last = ssd(*parts, **options)
    assert torch.equal(y, expected)
    assert torch.equal(last, expected_last)


def test_a_state_starts_with_large_writes_and_slow_decay() -> None:
    layer = Mamba2(8, 4, 2)
    steps = nn.functional.softplus(layer.dt_bias)
    torch.testing.assert_close(steps, torch.full((4,), 0.5))
    torch.testing.assert_close((-layer.a_log.exp() * steps).exp(), torch.full((4,), 0.99), rtol=1e-4, atol=0)
    assert (layer.skip == 1).all()


def test_length_of_the_state_is_free() -> None:
    torch.manual_seed(0)
    layer = Mamba2(12, 3, 4, state=7).double()
    x = inputs()
    whole, state = layer(x)
    assert state.recurrent.shape == (3, 3, 7, 4)
    first, between = layer(x[:, :9])
    rest, _ = layer(x[:, 9:], None, between)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole)
