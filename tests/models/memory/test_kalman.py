import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from eidolon.models.memory import kalman as module
from eidolon.models.memory.kalman import GatedKalmaNet, kalman
from tests.models.memory.mixer_checks import CHECKS, Build, build, inputs, pieces_equal_the_whole_in_float32

RESIDUAL = 1 / math.cosh(31 * math.acosh(1.04))
"""1 / T_31(1.04): the largest relative error after 30 iterations."""
MANY = 200
"""Iterations after which the error is below float64's rounding."""

Solver = Callable[[Tensor, Tensor], Tensor]


def directly(h: Tensor, q: Tensor) -> Tensor:
    """Solve (H + 0.02 ‖H‖ I) x = q."""
    ridge = 0.02 * torch.linalg.matrix_norm(h)
    return torch.linalg.solve(h + ridge * torch.eye(len(q), dtype=h.dtype), q)


def by_formula(h: Tensor, q: Tensor) -> Tensor:
    """The 30 iterations, step by step, for one system."""
    norm = torch.linalg.matrix_norm(h)
    system = h + 0.02 * norm * torch.eye(len(q), dtype=h.dtype)
    rho, step = norm / ((1 + 2 * 0.02) * norm), 2 / ((1 + 2 * 0.02) * norm)
    x, previous, w = step * q, torch.zeros_like(q), 2.0
    for _ in range(30):
        w = 4 / (4 - rho**2 * w)
        x, previous = w * x - step * w * (system @ x - q) - (w - 1) * previous, x
    return x


def recurrence(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    alpha: Tensor,
    state: tuple[Tensor, Tensor] | None,
    solve: Solver = directly,
) -> tuple[Tensor, Tensor, Tensor]:
    """The definition, token by token."""
    batch, length, heads, key = k.shape
    value = v.shape[-1]
    outputs = []
    all_h = state[0].clone() if state else k.new_zeros(batch, heads, key, key)
    all_u = state[1].clone() if state else k.new_zeros(batch, heads, key, value)
    last_h, last_u = [], []
    for row in range(batch):
        for head in range(heads):
            h, u = all_h[row, head], all_u[row, head].T
            for t in range(length):
                at = row, t, head
                h = torch.exp(g[at]) * h + torch.outer(k[at], k[at])
                u = torch.exp(g[at]) * u + torch.outer(v[at], k[at])
                mixed = q[at] + alpha[at] * (solve(h, q[at]) - q[at])
                outputs.append(u @ mixed / math.sqrt(key))
            last_h.append(h)
            last_u.append(u.T)
    y = torch.stack(outputs).view(batch, heads, length, value).transpose(1, 2)
    return (
        y,
        torch.stack(last_h).view(batch, heads, key, key),
        torch.stack(last_u).view(batch, heads, key, value),
    )


def arguments(
    length: int, *, seed: int = 0, batch: int = 2, heads: int = 2, key: int = 5, value: int = 3
) -> tuple[Tensor, ...]:
    """Return q, k, v, g, alpha, with decays from none to nearly all, and H and U transposed."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, dtype=torch.float64, generator=random)

    q, k = (nn.functional.normalize(draw(length, heads, key), dim=-1) for _ in range(2))
    v, g, alpha = (
        draw(length, heads, value),
        -(2 * draw(length, heads) - 2).exp(),
        draw(length, heads).sigmoid(),
    )
    k = k * draw(length, heads, 1).sigmoid()
    before = draw(heads, 7, key)
    return q, k, v, g, alpha, before.transpose(-1, -2) @ before, draw(heads, key, value)


def assert_near(got: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compare the norm of the error with that of the expected value."""
    assert (got - expected).norm().item() <= tolerance * expected.norm().item()


@pytest.mark.parametrize("length", [1, 2, 16, 17, 40])
@pytest.mark.parametrize("with_state", [False, True])
def test_converged_it_is_the_direct_solution(length: int, with_state: bool) -> None:
    *tokens, h, u = arguments(length)
    state = (h, u) if with_state else None
    for got, expected in zip(
        kalman(*tokens, state, iterations=MANY), recurrence(*tokens, state), strict=True
    ):
        assert_near(got, expected, 1e-10)


@pytest.mark.parametrize("chunk", [1, 5, 16])
@pytest.mark.parametrize("key", [5, 32])
def test_converged_in_float32_it_is_the_direct_solution_to_1e_5(chunk: int, key: int) -> None:
    *tokens, h, u = arguments(40, key=key, value=key)
    state = h, u
    narrow = kalman(*(part.float() for part in tokens), (h.float(), u.float()), chunk=chunk, iterations=60)
    for got, expected in zip(narrow, recurrence(*tokens, state), strict=True):
        assert got.dtype == torch.float32
        assert_near(got, expected, 1e-5)


@pytest.mark.parametrize("length", [1, 40])
def test_thirty_iterations_are_the_formula(length: int) -> None:
    *tokens, h, u = arguments(length)
    state = h, u
    for got, expected in zip(kalman(*tokens, state), recurrence(*tokens, state, by_formula), strict=True):
        assert_near(got, expected, 1e-11)


def test_the_error_of_thirty_iterations_is_that_of_the_theory() -> None:
    """With v = k and alpha = 1, U = H, so the eigencomponents of y have the relative error of x."""
    q, k, _, g, _, h, _ = arguments(40, key=32)
    one = torch.ones_like(g)
    y, _, _ = kalman(q, k, k, g, one, (h, h))
    expected, _, _ = recurrence(q, k, k, g, one, (h, h))
    error = (y - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert 0.1 * RESIDUAL < error.median() < error.max() <= RESIDUAL * (1 + 1e-9)
    # The bound is reached where ‖H‖_F is an eigenvalue: after one token.
    q, k, g, one = q[:, :1], k[:, :1], g[:, :1], one[:, :1]
    y, _, _ = kalman(q, k, k, g, one)
    expected, _, _ = recurrence(q, k, k, g, one, None)
    error = (y - expected).norm(dim=-1) / expected.norm(dim=-1)
    torch.testing.assert_close(error, torch.full_like(error, RESIDUAL), rtol=1e-6, atol=0)
    assert pytest.approx(3.204e-4, rel=1e-3) == RESIDUAL


def test_without_alpha_it_is_linear_attention() -> None:
    q, k, v, g, alpha, h, u = arguments(20)
    y, _, _ = kalman(q, k, v, g, torch.zeros_like(alpha), (h, u))
    for t in range(20):
        kept = g[:, : t + 1].sum(1).exp()
        expected = torch.einsum("bh,bhk,bhkv->bhv", kept, q[:, t], u)
        for s in range(t + 1):
            kept = g[:, s + 1 : t + 1].sum(1).exp()
            expected += (kept * (q[:, t] * k[:, s]).sum(-1))[..., None] * v[:, s]
        torch.testing.assert_close(y[:, t], expected / math.sqrt(5))


def test_it_recalls_a_value_that_linear_attention_blurs() -> None:
    """The purpose of the regression: reading the values of keys that are not orthogonal."""
    _, k, v, g, alpha, _, _ = arguments(5)
    k, still, one = nn.functional.normalize(k, dim=-1), torch.zeros_like(g), torch.ones_like(alpha)
    _, gram, recurrent = kalman(k, k, v, still, one)
    silent = torch.zeros_like(k), torch.zeros_like(v)
    errors = []
    for follow in (one, torch.zeros_like(one)):
        y, _, _ = kalman(k, *silent, still, follow, (gram, recurrent), iterations=MANY)
        errors.append((y * math.sqrt(5) - v).norm() / v.norm())
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("length", [1, 7])
def test_gradient(length: int) -> None:
    *tokens, h, u = arguments(length, batch=1, heads=1, key=3)
    root = torch.linalg.cholesky(h)

    def solved(q: Tensor, k: Tensor, v: Tensor, g: Tensor, alpha: Tensor, root: Tensor, u: Tensor) -> Any:
        return kalman(q, k, v, g, alpha, (root @ root.transpose(-1, -2), u), chunk=3, iterations=MANY)

    given = tuple(part.detach().requires_grad_() for part in (*tokens, root, u))
    assert torch.autograd.gradcheck(solved, given)


def test_gradient_of_thirty_iterations_is_near_that_through_them() -> None:
    *tokens, h, u = arguments(20, key=16)
    weights = torch.randn(2, 20, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    gradients = []
    for compute in (kalman, lambda *parts: recurrence(*parts, by_formula)):
        given = [part.clone().requires_grad_() for part in tokens]
        (compute(*given, (h, u))[0] * weights).sum().backward()
        gradients.append([part.grad for part in given])
    for solved, through in zip(*gradients, strict=True):
        assert solved is not None
        assert through is not None
        assert_near(solved, through, 0.01)


def test_an_empty_memory_gives_zero_and_no_nan() -> None:
    q, k, v, g, alpha, _, _ = arguments(20)
    k, v = torch.zeros_like(k), torch.zeros_like(v)
    for length in (1, 20):
        given = [part[:, :length].float().requires_grad_() for part in (q, k, v, g, alpha)]
        y, gram, recurrent = kalman(*given)
        assert (y == 0).all()
        assert (gram == 0).all()
        assert (recurrent == 0).all()
        y.sum().backward()
        assert all(part.grad is not None and part.grad.isfinite().all() for part in given)


def naive_layer(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer, token by token, from its weights alone."""
    weights = {name: parameter.detach() for name, parameter in layer.named_parameters()}
    heads, dim, inner = 3, 4, 12

    def unit(vector: Tensor) -> Tensor:
        return vector / torch.sqrt(vector @ vector + 1e-6)

    outputs = torch.zeros_like(x)
    for row in range(len(x)):
        h, u = (torch.zeros(heads, dim, dim, dtype=x.dtype) for _ in range(2))
        past = [torch.zeros(3 * inner, dtype=x.dtype) for _ in range(3)]
        for t in range(x.shape[1]):
            token = x[row, t]
            projected = weights["in_proj.weight"] @ token
            past.append(projected[: 3 * inner])
            mixed = sum(weights["convolution.weight"][:, lag] * past[t + lag] for lag in range(4))
            q, k, v = (mixed * torch.sigmoid(mixed)).view(3, heads, dim)
            gates = torch.sigmoid(weights["gates.weight"] @ token + weights["gates.bias"])
            rate = torch.log1p(torch.exp(weights["forgetting.weight"] @ token + weights["dt_bias"]))
            y = torch.zeros(heads, dim, dtype=x.dtype)
            for head in range(heads):
                decay = torch.exp(-rate[head] * torch.exp(weights["a_log"][head]))
                key, value, query = unit(k[head]) * gates[head], v[head] * gates[head], unit(q[head])
                h[head] = decay * h[head] + torch.outer(key, key)
                u[head] = decay * u[head] + torch.outer(value, key)
                x_t = by_formula(h[head], query)
                y[head] = u[head] @ (query + gates[heads + head] * (x_t - query)) / 2
            y = y / torch.sqrt(y.square().mean(-1, keepdim=True) + 1e-6) * weights["norm.weight"]
            gate = projected[3 * inner :].view(heads, dim)
            outputs[row, t] = weights["out_proj.weight"] @ (y * gate * torch.sigmoid(gate)).flatten()
    return outputs


def test_layer_is_its_naive_twin() -> None:
    layer, x = build(GatedKalmaNet), inputs()
    with torch.no_grad():
        layer.get_parameter("gates.bias").uniform_(-1, 1)
        layer.get_parameter("norm.weight").uniform_(0.5, 2)
    torch.testing.assert_close(layer(x)[0], naive_layer(layer, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_as_every_mixer(check: Callable[[Build], None]) -> None:
    check(GatedKalmaNet)


def test_pieces_equal_the_whole_in_float32() -> None:
    """x can be 50 times q in directions without keys, so its rounding may be large compared with y."""
    pieces_equal_the_whole_in_float32(GatedKalmaNet, 1e-4)


def test_autocast_stays_out_of_the_recurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, Any, Any]] = []

    def spy(*parts: Any, **options: Any) -> Any:
        calls.append((parts, options, kalman(*parts, **options)))
        return calls[-1][-1]

    monkeypatch.setattr(module, "kalman", spy)
    with torch.autocast("cpu", torch.bfloat16):
        build(GatedKalmaNet, dtype=torch.float32)(inputs(dtype=torch.float32))
    parts, options, results = calls[0]
    assert all(
        torch.equal(got, expected) for got, expected in zip(results, kalman(*parts, **options), strict=True)
    )


def test_the_gradient_of_the_solution_works_under_autocast() -> None:
    *tokens, _, _ = arguments(20)
    gradients = []
    for enabled in (False, True):
        given = [part.float().requires_grad_() for part in tokens]
        loss = kalman(*given)[0].square().sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            gradients.append(torch.autograd.grad(loss, given))
    for exact, mixed in zip(*gradients, strict=True):
        assert_near(mixed, exact, 0.02)
