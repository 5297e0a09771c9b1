"""Requirements that every sequence mixer of the memory family must meet, one check each."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

WIDTH, HEADS, HEAD_DIM = 12, 3, 4
BATCH, LENGTH = 3, 37
Build = Callable[..., nn.Module]
"""A mixer's class."""


def build(mixer: Build, chunk: int = 8, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Return a small mixer with heads of very different decay rates."""
    torch.manual_seed(seed)
    layer = mixer(WIDTH, HEADS, HEAD_DIM, chunk=chunk)
    with torch.no_grad():
        layer.get_parameter("dt_bias").copy_(torch.tensor([-7.0, -2.0, 3.0]))
    return layer.to(dtype)


def inputs(length: int = LENGTH, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    """Return (BATCH, length, WIDTH)."""
    return torch.randn(BATCH, length, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def tensors(state: Any) -> dict[str, Tensor]:
    """Return a state's tensors by name."""
    return {field.name: getattr(state, field.name) for field in fields(state)}


def recurrent(state: Any) -> dict[str, Tensor]:
    """Return a state's tensors except the convolution's inputs."""
    return {name: tensor for name, tensor in tensors(state).items() if name != "convolution"}


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    assert got.keys() == expected.keys()
    for name, tensor in got.items():
        torch.testing.assert_close(
            tensor,
            expected[name],
            rtol=tolerance,
            atol=tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def in_pieces(
    layer: nn.Module, x: Tensor, lengths: Sequence[int], mask: Tensor | None = None
) -> tuple[Tensor, Any]:
    assert sum(lengths) == x.shape[1]
    outputs, state = [], None
    masks = [None] * len(lengths) if mask is None else mask.split(list(lengths), dim=1)
    for piece, piece_mask in zip(x.split(list(lengths), dim=1), masks, strict=True):
        output, state = layer(piece, piece_mask, state)
        outputs.append(output)
    return torch.cat(outputs, dim=1), state


def pieces_equal_the_whole(mixer: Build) -> None:
    layer, x = build(mixer), inputs()
    whole, state = layer(x)
    for lengths in ([1] * LENGTH, [LENGTH - 1, 1], [1, LENGTH - 1], [2, 9, 1, 1, 8, 16]):
        parts, last = in_pieces(layer, x, lengths)
        assert_same({"output": parts, **tensors(last)}, {"output": whole, **tensors(state)})


def pieces_equal_the_whole_in_float32(mixer: Build, tolerance: float) -> None:
    layer, x = build(mixer, dtype=torch.float32), inputs(dtype=torch.float32)
    whole, state = layer(x)
    for lengths in ([1] * LENGTH, [20, 17]):
        parts, last = in_pieces(layer, x, lengths)
        assert_same(tensors(last), tensors(state), 1e-5)
        assert (parts - whole).norm() <= tolerance * whole.norm()


def padded_pieces_equal_the_whole(mixer: Build) -> None:
    layer, x = build(mixer), inputs()
    mask = torch.ones(BATCH, LENGTH, dtype=torch.bool)
    mask[0, :5], mask[1, 30:], mask[2, 11:14] = False, False, False
    whole, state = layer(x, mask)
    for lengths in ([1] * LENGTH, [12, 1, 19, 5]):
        parts, last = in_pieces(layer, x, lengths, mask)
        assert_same({"output": parts[mask], **tensors(last)}, {"output": whole[mask], **tensors(state)})


def chunk_size_changes_nothing(mixer: Build) -> None:
    x = inputs()
    expected, state = build(mixer, chunk=1)(x)
    for chunk in (2, 7, 16, LENGTH, 64, 1000):
        output, last = build(mixer, chunk=chunk)(x)
        assert_same({"output": output, **tensors(last)}, {"output": expected, **tensors(state)})


def padding_on_the_left_changes_nothing(mixer: Build) -> None:
    layer, x = build(mixer), inputs()
    expected, state = layer(x)
    for padding in (1, 3, 20):
        longer = torch.cat([inputs(padding, seed=2), x], dim=1)
        mask = torch.arange(padding + LENGTH).expand(BATCH, -1) >= padding
        output, last = layer(longer, mask)
        assert_same({"output": output[:, padding:], **tensors(last)}, {"output": expected, **tensors(state)})


def padding_on_the_right_changes_nothing(mixer: Build) -> None:
    layer, x = build(mixer), inputs()
    expected, state = layer(x)
    for padding in (1, 3, 20):
        longer = torch.cat([x, inputs(padding, seed=2)], dim=1)
        mask = torch.arange(padding + LENGTH).expand(BATCH, -1) < LENGTH
        output, last = layer(longer, mask)
        assert_same(
            {"output": output[:, :LENGTH], **recurrent(last)}, {"output": expected, **recurrent(state)}
        )
    # Also one step of padding only.
    output, last = layer(inputs(1, seed=2), torch.zeros(BATCH, 1, dtype=torch.bool), state)
    assert output.isfinite().all()
    assert_same(recurrent(last), recurrent(state), 0)


def a_batch_equals_each_alone(mixer: Build) -> None:
    layer, x = build(mixer), inputs()
    mask = torch.arange(LENGTH) >= torch.tensor([[0], [4], [29]])
    together, state = layer(x, mask)
    for row in range(BATCH):
        alone, last = layer(x[row : row + 1, mask[row]])
        kept = {name: tensor[row : row + 1] for name, tensor in tensors(state).items()}
        assert_same(
            {"output": alone, **tensors(last)}, {"output": together[row : row + 1, mask[row]], **kept}
        )


def the_future_is_not_seen(mixer: Build) -> None:
    layer, x = build(mixer, chunk=8), inputs()
    before, _ = layer(x)
    for first in (1, 7, 8, 20, LENGTH - 1):
        changed = x.clone()
        changed[:, first:] = 100 * inputs(LENGTH - first, seed=3)
        after, _ = layer(changed)
        assert torch.equal(after[:, :first], before[:, :first])
        assert not torch.isclose(after[:, first:], before[:, first:]).all(dim=-1).any()


def the_past_is_seen(mixer: Build) -> None:
    """Otherwise the check of causality would pass for a mixer that ignores its input."""
    layer = build(mixer)
    x = inputs().requires_grad_()
    layer(x)[0][:, -1].square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(-1) > 0).all()


def nan_in_padding_stays_there(mixer: Build) -> None:
    layer, x = build(mixer), inputs()
    mask = torch.ones(BATCH, LENGTH, dtype=torch.bool)
    mask[0, :5], mask[1, 30:], mask[2] = False, False, False
    expected, state = layer(x.masked_fill(~mask[..., None], 0), mask)
    dirty = x.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    output, last = layer(dirty, mask)
    assert output.isfinite().all()
    assert_same({"output": output, **tensors(last)}, {"output": expected, **tensors(state)}, 0)
    output.square().sum().backward()
    assert dirty.grad is not None
    assert (dirty.grad[~mask] == 0).all()
    assert dirty.grad.isfinite().all()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all() for parameter in layer.parameters()
    )


def a_state_can_be_used_twice(mixer: Build) -> None:
    layer, x = build(mixer), inputs()
    _, state = layer(x[:, :20])
    for length in (1, 17):
        kept = {name: tensor.clone() for name, tensor in tensors(state).items()}
        first, _ = layer(x[:, 20 : 20 + length], None, state)
        assert_same(tensors(state), kept, 0)
        second, _ = layer(x[:, 20 : 20 + length], None, state)
        assert torch.equal(first, second)


def parameters_all_matter(mixer: Build) -> None:
    layer = build(mixer)
    weights = torch.randn(BATCH, LENGTH, WIDTH, dtype=torch.float64)
    (layer(inputs())[0] * weights).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert (
            (parameter.grad.abs().flatten(1).sum(-1) > 0).all()
            if parameter.dim() > 1
            else parameter.grad.all()
        ), name


def states_are_float32_in_narrow_models(mixer: Build) -> None:
    layer = build(mixer, dtype=torch.float32)
    narrow = build(mixer, dtype=torch.bfloat16)
    x = inputs(dtype=torch.float32)
    expected, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, state = layer(x)
        _, stepped = layer(x[:, :1], None, state)
    output, last = narrow(x.bfloat16())
    step, after = narrow(x[:, :1].bfloat16(), None, last)
    assert output.dtype == step.dtype == torch.bfloat16
    for some in (state, stepped, last, after):
        assert all(tensor.dtype == torch.float32 for tensor in recurrent(some).values())
    scale = expected.abs().mean()
    assert (mixed.float() - expected).abs().mean() < 0.05 * scale
    assert (output.float() - expected).abs().mean() < 0.05 * scale


CHECKS = [
    pieces_equal_the_whole,
    padded_pieces_equal_the_whole,
    chunk_size_changes_nothing,
    padding_on_the_left_changes_nothing,
    padding_on_the_right_changes_nothing,
    a_batch_equals_each_alone,
    the_future_is_not_seen,
    the_past_is_seen,
    nan_in_padding_stays_there,
    a_state_can_be_used_twice,
    parameters_all_matter,
    states_are_float32_in_narrow_models,
]
