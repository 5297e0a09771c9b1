"""The gated delta rule against the reference in transformers' Qwen3.5, and the requirements of all mixers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import Qwen3_5TextConfig
from transformers.models.qwen3_5 import modeling_qwen3_5 as reference

from eidolon.models.memory.gated_delta import GatedDelta, gated_delta_rule
from eidolon.models.memory.parts import unit
from tests.models.memory.mixer_checks import CHECKS, Build, pieces_equal_the_whole_in_float32

HEADS, KEY, VALUE = 3, 8, 5


def arguments(length: int, seed: int = 0, batch: int = 2) -> tuple[Tensor, ...]:
    """Return q, k, v, g, beta in float32; the heads have very different decay rates."""
    random = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(batch, length, HEADS, size, generator=random) for size in (KEY, KEY, VALUE))
    g = -torch.rand(batch, length, HEADS, generator=random) * torch.tensor([1e-3, 0.3, 8.0])
    return q, k, v, g, torch.rand(batch, length, HEADS, generator=random)


@pytest.mark.parametrize("length", [1, 5, 64, 150])
@pytest.mark.parametrize("with_state", [False, True])
def test_the_rule_is_that_of_transformers(length: int, with_state: bool) -> None:
    """Their two forms, in chunks and step by step, and ours in chunks of several lengths."""
    q, k, v, g, beta = arguments(length)
    state = (
        torch.randn(2, HEADS, KEY, VALUE, generator=torch.Generator().manual_seed(9)) if with_state else None
    )
    asked: dict[str, Any] = {
        "g": g, "beta": beta, "initial_state": state, "output_final_state": True, "use_qk_l2norm_in_kernel": True
    }  # fmt: skip
    theirs = [
        rule(q, k, v, **asked)
        for rule in (reference.torch_chunk_gated_delta_rule, reference.torch_recurrent_gated_delta_rule)
    ]
    for chunk in (1, 7, 64, 200):
        y, last = gated_delta_rule(unit(q), unit(k), v, g, beta, state, chunk=chunk)
        for expected, expected_last in theirs:
            torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(last, expected_last, rtol=1e-5, atol=1e-5)


def copied(layer: GatedDelta, width: int) -> nn.Module:
    """Return transformers' whole layer with the weights of ours."""
    config = Qwen3_5TextConfig(
        hidden_size=width, num_hidden_layers=1, layer_types=["linear_attention"], linear_conv_kernel_dim=4,
        linear_key_head_dim=KEY, linear_value_head_dim=KEY, linear_num_key_heads=HEADS,
        linear_num_value_heads=HEADS, hidden_act="silu", rms_norm_eps=1e-6,
    )  # fmt: skip
    theirs: Any = reference.Qwen3_5GatedDeltaNet(config, 0)
    inner = HEADS * KEY
    pairs = [
        (theirs.in_proj_qkv, layer.in_proj.weight[: 3 * inner]), (theirs.in_proj_z, layer.in_proj.weight[3 * inner :]),
        (theirs.in_proj_a, layer.gates.weight[:HEADS]), (theirs.in_proj_b, layer.gates.weight[HEADS:]),
        (theirs.conv1d, layer.convolution.weight[:, None]), (theirs.norm, layer.norm.weight),
        (theirs.out_proj, layer.out_proj.weight),
    ]  # fmt: skip
    with torch.no_grad():
        for module, weight in pairs:
            assert module.weight.shape == weight.shape
            module.weight.copy_(weight)
        theirs.A_log.copy_(layer.a_log)
        theirs.dt_bias.copy_(layer.dt_bias)
    return theirs.eval()


def test_the_layer_is_that_of_transformers() -> None:
    torch.manual_seed(0)
    layer = GatedDelta(24, HEADS, KEY)
    with torch.no_grad():
        layer.a_log.copy_(torch.tensor([0.1, 1.0, 2.5]))
        layer.norm.weight.normal_(1, 0.3)
    x = torch.randn(2, 90, 24)
    theirs = copied(layer, 24)
    torch.testing.assert_close(layer(x)[0], theirs(x), rtol=1e-5, atol=1e-5)
    mask = torch.arange(90) >= torch.tensor([[0], [31]])
    padded = theirs(x, attention_mask=mask.long())
    torch.testing.assert_close(layer(x, mask)[0][mask], padded[mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_as_every_mixer(check: Any) -> None:
    mixer: Build = GatedDelta
    check(mixer)


def test_pieces_equal_the_whole_in_float32() -> None:
    pieces_equal_the_whole_in_float32(GatedDelta, 1e-5)


def test_a_key_has_one_value() -> None:
    """A written value replaces the key's old one: with β = 1 and no decay it is read unchanged."""
    k = torch.eye(KEY)[[0, 1, 0]][None, :, None]
    v = torch.tensor([[1.0], [2.0], [3.0]])[None, :, None]
    ones, zeros = torch.ones(1, 3, 1), torch.zeros(1, 3, 1)
    y, state = gated_delta_rule(k, k, v, zeros, ones, None, chunk=2)
    torch.testing.assert_close(y[0, :, 0, 0] * KEY**0.5, torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(state[0, 0, :2, 0], torch.tensor([3.0, 2.0]))


def test_queries_and_keys_can_be_aligned() -> None:
    layer = GatedDelta(12, HEADS, KEY)
    layer.align_queries_and_keys()
    q, k = layer.in_proj.weight[: 2 * HEADS * KEY].chunk(2)
    assert torch.equal(q, k)
    assert torch.equal(*layer.convolution.weight[: 2 * HEADS * KEY].chunk(2))


@pytest.mark.parametrize("decay", [2.0, 10.0, 30.0])
def test_strong_decay_costs_no_digits_in_float32(decay: float) -> None:
    q, k, v, g, beta = arguments(70)
    g[:, :40] = -decay  # what comes after it in the same chunk must not lose digits
    y, last = gated_delta_rule(*(part.float() for part in (q, k, v, g, beta)), None, chunk=64)
    state, expected = None, []
    for t in range(70):
        one, state = gated_delta_rule(*(part[:, t : t + 1] for part in (q, k, v, g, beta)), state)
        expected.append(one)
    assert state is not None
    whole = torch.cat(expected, dim=1)
    assert (y - whole).abs().max() <= 3e-6 * whole.abs().max()
    assert (last - state).abs().max() <= 3e-6 * state.abs().max()
