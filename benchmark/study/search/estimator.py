"""Estimates latency and bytes of an architecture: a regression over measured operators, summed over its layers.

An operator is a layer of one symbol. Models of one and two equal layers are measured at every width, and some random
layouts, since a layer among others is slower than alone: they share the processor's caches. A linear regression gives
each symbol a constant and a slope by the width, and the same to what surrounds the layers (embedding, last norm, head).
The cost of an architecture is the sum. So the search needs neither the hardware nor a compiler.

Latency is the time of a decoding step after `context` tokens; bytes are those of one sequence's memory then.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from eidolon.benchmark.study.memory.cost import measure_cost
from eidolon.benchmark.study.search.space import SearchedLayout, SearchSpace
from eidolon.models.memory.layout import Memory, Symbol
from eidolon.scorers.core.types import Record

BESIDE = "beside the layers"
"""The operator of embedding, last norm and head."""


class CostLine(Record):
    """An operator's cost by the width."""

    constant: float
    per_width: float

    def at(self, width: int) -> float:
        """Return the cost at a width."""
        return self.constant + self.per_width * width


class Measured(NamedTuple):
    """Milliseconds of a decoding step, and bytes of the memory of one sequence."""

    ms: float
    bytes: float


class CheckedEstimate(Record):
    """Estimate and measurement of an architecture that the regression has not seen."""

    architecture: SearchedLayout
    ms: float
    measured_ms: float
    bytes: float
    measured_bytes: float


class CostEstimator(Record):
    """The regression: a line for each symbol, and one for what surrounds the layers."""

    context: int = Field(ge=1)
    """Tokens read before the measured step."""
    machine: str
    ms: dict[str, CostLine]
    bytes: dict[str, CostLine]
    checked: tuple[CheckedEstimate, ...] = ()

    def estimate(self, point: SearchedLayout) -> Measured:
        """Return the estimated cost of an architecture.

        It is rounded, so that costs that are equal do not differ by the last digit of the regression.
        """
        operators: list[str] = [BESIDE, *point.layout]
        return Measured(
            round(sum(self.ms[name].at(point.width) for name in operators), 6),
            round(sum(self.bytes[name].at(point.width) for name in operators), 2),
        )

    @property
    def error(self) -> float | None:
        """Mean relative error of the latency over the checked architectures; None without any."""
        errors = [abs(one.ms / one.measured_ms - 1) for one in self.checked]
        return float(np.mean(errors)) if errors else None


def points_to_measure(
    space: SearchSpace, mixed: int, unseen: int, seed: int
) -> tuple[tuple[SearchedLayout, ...], tuple[SearchedLayout, ...]]:
    """Return the architectures of the regression, and others to check it with.

    The regression has one and two equal layers of every symbol at every width, and `mixed` random layouts.
    """
    uniform = tuple(
        SearchedLayout(layout=(symbol,) * layers, width=width)
        for symbol in space.symbols
        for layers in (1, 2)
        for width in space.widths
    )
    others = [point for point in space.points if point not in set(uniform)]
    order = np.random.default_rng([seed, 1]).permutation(len(others))
    drawn = [others[place] for place in order[: mixed + unseen]]
    return (*uniform, *drawn[:mixed]), tuple(drawn[mixed:])


def measure(
    points: Sequence[SearchedLayout], memory: Memory, vocabulary: int, context: int
) -> dict[SearchedLayout, Measured]:
    """Return the measured costs of random models. They are timed in turn, so that other load affects all alike."""
    import torch

    from eidolon.models.memory.configuration import MemoryTextConfig
    from eidolon.models.memory.modeling import MemoryTextModel

    models: dict[str, Any] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for point in points:
            config = MemoryTextConfig.of(
                memory.model_copy(update={"layout": point.layout}),
                vocab_size=vocabulary,
                hidden_size=point.width,
                intermediate_size=point.width,
            )
            model: Any = MemoryTextModel(config)
            models[point.label] = model.eval()
    costs = measure_cost(models, (context,))
    return {
        point: Measured(costs[point.label].ms_per_token[context], costs[point.label].bytes_at[context])
        for point in points
    }


def fit(
    measured: Mapping[SearchedLayout, Measured], symbols: Sequence[Symbol], context: int, machine: str
) -> CostEstimator:
    """Return the regression over measured architectures. Relative errors are minimised, so fast ones count as much.

    Raises:
        ValueError: the architectures do not determine the cost of every operator.
    """
    names: tuple[str, ...] = (BESIDE, *symbols)
    rows = np.array([_row(point, names) for point in measured])
    costs = np.array(list(measured.values()), float)
    widths = {point.width for point in measured}
    if len(widths) == 1:  # no slope without a second width
        rows[:, 1::2] = 0
    if np.linalg.matrix_rank(rows) < rows.shape[1] // (1 if len(widths) > 1 else 2):
        raise ValueError("the measured architectures do not determine the cost of every operator")
    lines = [_solve(rows, costs[:, column], names) for column in range(costs.shape[1])]
    return CostEstimator(context=context, machine=machine, ms=lines[0], bytes=lines[1])


def _row(point: SearchedLayout, names: Sequence[str]) -> list[float]:
    """Return the coefficients of each operator's constant and slope in the cost of an architecture."""
    counts = [1 if name == BESIDE else point.layout.count(name) for name in names]
    return [float(value) for count in counts for value in (count, count * point.width)]


def _solve(
    rows: NDArray[np.float64], costs: NDArray[np.float64], names: Sequence[str]
) -> dict[str, CostLine]:
    solved = np.linalg.lstsq(rows / costs[:, None], np.ones(len(costs)), rcond=None)[0].reshape(-1, 2)
    return {
        name: CostLine(constant=float(constant), per_width=float(slope))
        for name, (constant, slope) in zip(names, solved, strict=True)
    }


def check(estimator: CostEstimator, measured: Mapping[SearchedLayout, Measured]) -> CostEstimator:
    """Return the estimator with the measured costs of unseen architectures beside its estimates."""
    checked = []
    for point, cost in measured.items():
        estimate = estimator.estimate(point)
        checked.append(
            CheckedEstimate(
                architecture=point,
                ms=estimate.ms,
                measured_ms=cost.ms,
                bytes=estimate.bytes,
                measured_bytes=cost.bytes,
            )
        )
    return estimator.model_copy(update={"checked": tuple(checked)})
