"""The estimator of latency and bytes: a sum over layers, exact where the costs are one."""

import pytest
import torch

from eidolon.benchmark.study.memory.cost import bytes_per_sequence
from eidolon.benchmark.study.search.estimator import BESIDE, Measured, check, fit, points_to_measure
from eidolon.benchmark.study.search.recipe import SearchRecipe
from eidolon.benchmark.study.search.space import SearchedLayout, SearchSpace
from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.modeling import MemoryTextModel

SPACE = SearchSpace(widths=(16, 32), depth=3, lanes=16)
RECIPE = SearchRecipe(space=SPACE, context=40)


def planted(point: SearchedLayout) -> Measured:
    """Costs that are sums: each symbol's constant and slope are its place in the list."""
    places = [SPACE.symbols.index(symbol) for symbol in point.layout]
    return Measured(
        0.1 + 0.002 * point.width + sum(0.05 * (place + 1) + 0.001 * place * point.width for place in places),
        7.0 + sum(100.0 * place + 3.0 * point.width for place in places),
    )


def test_the_estimate_is_the_direct_sum() -> None:
    """Costs that are sums come out again, also of layouts that were not measured."""
    measured, unseen = points_to_measure(SPACE, mixed=6, unseen=30, seed=0)
    assert not set(measured) & set(unseen)
    estimator = fit({point: planted(point) for point in measured}, SPACE.symbols, 40, "a machine")
    for point in unseen:
        direct = sum(
            estimator.ms[name].constant + estimator.ms[name].per_width * point.width
            for name in (BESIDE, *point.layout)
        )
        assert estimator.estimate(point).ms == pytest.approx(direct)
        assert estimator.estimate(point) == pytest.approx(planted(point), rel=1e-6)


def test_the_error_is_that_of_unseen_layouts() -> None:
    measured, unseen = points_to_measure(SPACE, mixed=0, unseen=4, seed=1)
    estimator = fit({point: planted(point) for point in measured}, SPACE.symbols, 40, "a machine")
    factors = (1.25, 1.0, 0.8, 1.0)
    slower = {
        point: Measured(planted(point).ms * factor, planted(point).bytes)
        for point, factor in zip(unseen, factors, strict=True)
    }
    checked = check(estimator, slower)
    assert checked.error == pytest.approx((0.2 + 0.25) / 4, rel=1e-6)
    assert all(one.bytes == pytest.approx(one.measured_bytes) for one in checked.checked)
    assert estimator.error is None


def test_bytes_of_real_models_are_sums() -> None:
    """Bytes need no timing: the regression over real models gives those of other real models."""

    def cost(point: SearchedLayout) -> Measured:
        config = MemoryTextConfig.of(
            RECIPE.memory(point), vocab_size=8, hidden_size=point.width, intermediate_size=4
        )
        with torch.random.fork_rng():
            return Measured(1.0, bytes_per_sequence(MemoryTextModel(config).eval(), 40))

    measured, unseen = points_to_measure(SPACE, mixed=0, unseen=5, seed=2)
    estimator = fit({point: cost(point) for point in measured}, SPACE.symbols, 40, "a machine")
    for point in unseen:
        assert estimator.estimate(point).bytes == pytest.approx(cost(point).bytes, rel=1e-6)


def test_too_few_measurements_are_refused() -> None:
    points, _ = points_to_measure(SPACE, mixed=0, unseen=0, seed=0)
    with pytest.raises(ValueError, match="do not determine"):
        fit({point: planted(point) for point in points[:-4]}, SPACE.symbols, 40, "a machine")
