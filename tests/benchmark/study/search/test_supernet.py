"""The supernet's slices are models of their own, and the kernel of the zero-shot score is that of its definition."""

import numpy as np
import pytest
import torch

from eidolon.benchmark.study.recall.model import VALIDATION, make_batch, make_test
from eidolon.benchmark.study.search.candidates import make_candidate
from eidolon.benchmark.study.search.supernet import Supernet
from eidolon.benchmark.study.search.trainability import OUTPUTS, tangent_kernel, zero_shot_scores
from tests.benchmark.study.search.tiny import RECIPE, point


@pytest.mark.parametrize(
    ("layout", "width"), [("*", 16), ("GDN-*", 32), ("BM-GDN", 16), ("*-BM", 32), ("GDN-BM", 16)]
)
def test_a_slice_equals_a_model_of_its_own(layout: str, width: int) -> None:
    """Same losses; and the gradients of its weights are those of the supernet, in the slice, and zero elsewhere."""
    supernet = Supernet(RECIPE)
    chosen = point(layout, width)
    batch = make_batch(RECIPE.recall, 3)
    losses = supernet(batch, RECIPE.space.points.index(chosen))
    alone = supernet.extract(chosen)
    expected = alone(batch)
    assert losses.keys() == expected.keys()
    for name, loss in expected.items():
        assert loss.item() == pytest.approx(losses[name].item(), rel=1e-6)
    losses["total"].backward()
    expected["total"].backward()
    ours = sum(float(w.grad.square().sum()) for w in supernet.parameters() if w.grad is not None)
    theirs = sum(float(w.grad.square().sum()) for w in alone.parameters() if w.grad is not None)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_points_share_weights() -> None:
    supernet = Supernet(RECIPE)
    narrow = dict(supernet.slices(point("GDN-*", 16)))
    wide = dict(supernet.slices(point("GDN-GDN", 32)))
    first = "language.model.layers.0.memory.fading.in_proj.weight"
    assert torch.equal(narrow[first], wide[first][:, :16])
    assert not any("layers.1.memory.fading" in name for name in narrow)


def test_gate_and_value_of_a_slice_are_the_first_channels_of_both() -> None:
    supernet = Supernet(RECIPE)
    name = "language.model.layers.1.gate_up.weight"
    wide = dict(supernet.slices(point("GDN-GDN", 32)))[name]
    narrow = dict(supernet.slices(point("GDN-GDN", 16)))[name]
    gate, value = wide[:32], wide[32:]
    assert torch.equal(narrow[:16], gate[:16, :16])
    assert torch.equal(narrow[16:], value[:16, :16])
    layer = supernet.extract(point("GDN-GDN", 16)).language.model.layers[1]
    x = torch.randn(3, 16)
    hidden = torch.nn.functional.silu(x @ gate[:16, :16].T) * (x @ value[:16, :16].T)
    ours, theirs = layer.gate_up(x).chunk(2, dim=-1)
    assert torch.allclose(torch.nn.functional.silu(ours) * theirs, hidden, atol=1e-6)


def test_a_predictor_reads_the_first_channels_of_both_its_inputs() -> None:
    """It reads the input and the fading state, one after the other: its slice is no plain first part."""
    supernet = Supernet(RECIPE)
    name = "language.model.layers.0.memory.predictor.convolution.weight"
    wide = dict(supernet.slices(point("BM", 32)))[name]
    narrow = dict(supernet.slices(point("BM", 16)))[name]
    assert wide.shape[:2] == (32, 64)
    assert torch.equal(narrow, torch.cat([wide[:16, :16], wide[:16, 32:48]], 1))


def test_the_kernel_is_the_product_of_gradients() -> None:
    model = make_candidate(RECIPE, point("GDN-*"))
    kernel = tangent_kernel(model, RECIPE)
    assert kernel.shape == (OUTPUTS, OUTPUTS)
    test = make_test(RECIPE.recall.task, 2, "none", OUTPUTS, VALIDATION)
    rows = []
    for row in range(2):
        model.zero_grad()
        logits, _ = model.answer(
            torch.from_numpy(test.tokens[row : row + 1]), torch.from_numpy(test.queries[row : row + 1])
        )
        logits[0, 0].log_softmax(-1)[test.answers[row, 0]].backward()
        rows.append(torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None]))
    assert kernel[0, 1] == pytest.approx(float(rows[0] @ rows[1]), rel=1e-3)
    assert kernel[1, 1] == pytest.approx(float(rows[1] @ rows[1]), rel=1e-3)
    values = np.linalg.eigvalsh(kernel)
    scores = zero_shot_scores(model, RECIPE)
    assert scores.trainability == pytest.approx(np.log10(max(values[0] / values[-1], 1e-9)), rel=1e-3)
