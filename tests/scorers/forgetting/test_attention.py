"""Attention along responses: the summary against plain loops, and a model without any."""

import numpy as np
import pytest

from eidolon.scorers.forgetting.attention import (
    AttentionLine,
    TokenGroup,
    attention_line,
    even_share,
    measure_attention,
)


def line(index: int, tokens: int, fade: float) -> AttentionLine:
    rng = np.random.default_rng(index)
    empty = AttentionLine(
        sample_id=f"s{index}", generation=0, image_id=index, picture_tokens=16, prompt_tokens=40
    )
    even = even_share(empty.model_copy(update={"mass": (0.0,) * tokens}))
    mass = even * (1.5 + fade * np.arange(tokens) / 100) + 0.01 * rng.standard_normal((2, tokens))
    groups: list[TokenGroup] = ["other"] * tokens
    groups[5], groups[9] = "grounded", "hallucinated"
    mass[:, 9] -= 0.1
    return attention_line(empty, mass.tolist(), (np.ones((2, tokens)) * 2).tolist(), groups)


def test_the_change_is_that_beyond_the_even_share() -> None:
    lines = [line(i, 40 + i, -0.5) for i in range(20)]
    found = measure_attention(lines, resamples=200)
    assert found.change.value == pytest.approx(-0.5, abs=0.15)
    assert found.hallucinated_minus_grounded.value == pytest.approx(-0.1, abs=0.05)
    assert [point.token for point in found.curve] == [0, 16, 32, 48]
    here = [one for one in lines if len(one.mass) > 48]
    wanted = sum(sum(one.mass[48:]) for one in here) / sum(len(one.mass[48:]) for one in here)
    assert found.curve[-1].mass.value == pytest.approx(wanted)
    assert found.curve[0].entropy.value == pytest.approx(2)
    assert len(found.layers) == 2
    assert all((layer.hallucinated or 0) < (layer.grounded or 0) for layer in found.layers)


def test_without_attention_there_is_a_reason() -> None:
    lines = [
        AttentionLine(sample_id=f"s{i}", generation=0, image_id=i, left_out="it offers none")
        for i in range(9)
    ]
    found = measure_attention(lines, resamples=50)
    assert (found.reason, found.change.value, found.change.reason) == (
        "it offers none",
        None,
        "it offers none",
    )
    assert found.left_out == 9


def test_the_readout_of_states_has_its_own_change() -> None:
    lines = []
    for i in range(12):
        empty = AttentionLine(sample_id=f"s{i}", generation=0, image_id=i)
        readout = [[0.8 - 0.004 * t + 0.01 * (i % 3) for t in range(50)]]
        lines.append(attention_line(empty, (), (), ["other"] * 50, readout))
    found = measure_attention(lines, resamples=100)
    assert found.readout_change.value == pytest.approx(-0.4, abs=0.01)
    assert found.readout_start.value == pytest.approx(0.78, abs=0.01)
    assert found.reason == "the model has fading memories instead of attention weights"
