"""Predictors of a block's next input. The norm of their error is the innovation, by which a store selects its tokens.

They learn from their own loss, whose gradient reaches nothing else, and the block's output depends on them only through
the selection.
"""

from collections.abc import Callable, Sequence
from math import isfinite

import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.memory.layout import Predicting, Selection
from eidolon.models.memory.parts import at_least_float32

PREDICTION_WEIGHT = 0.01
"""Weight of the predictors' loss in training. It does not change Adam's steps. It is small, so that this loss hardly
changes the gradient norm over all parameters, which clipping uses."""
TAPS = 4
"""Inputs and fading states before a token from which it is predicted."""


class ConvolutionPredictor(nn.Module):
    """Predicts each input from the inputs and the fading states of the tokens before, by a causal convolution."""

    taps = TAPS

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = 2 * width
        self.convolution = nn.Conv1d(self.features, width, TAPS)

    def forward(self, x: Tensor, fading: Tensor, mask: Tensor | None, past: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predictions of x, (batch, T, width), at least float32, and the new `past`.

        `fading` is (batch, T, width). `mask`, (batch, T), is False on padding; tokens before and after it are
        neighbours. `past`, (batch, taps, features), has the inputs and fading states of the last tokens.
        """
        after, order = _shift(torch.cat([x, fading], -1), mask, past)
        weight, bias = (p.to(at_least_float32(x.dtype)) for p in self.convolution.parameters())
        # The convolution as a matrix product, which is faster on a CPU.
        inputs = after[:, :-1].to(weight.dtype).unfold(1, self.taps, 1).flatten(2)
        predicted = functional.linear(inputs, weight.flatten(1), bias)
        return _unpack(predicted, order), _newest(after, mask, self.taps)


class LastStatePredictor(nn.Module):
    """Predicts each input from the fading state of the token before, by a linear map without bias."""

    taps = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = width
        self.weight = nn.Parameter(torch.empty(width, width))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor, fading: Tensor, mask: Tensor | None, past: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and the new `past`; see `ConvolutionPredictor.forward`."""
        after, order = _shift(fading, mask, past)
        precise = at_least_float32(x.dtype)
        predicted = functional.linear(after[:, :-1].to(precise), self.weight.to(precise))
        return _unpack(predicted, order), _newest(after, mask, self.taps)


Predictor = ConvolutionPredictor | LastStatePredictor
LEAST_R_SQUARED = 0.2
"""The lowest R² of a predictor with which the result of a store is reported."""


def make_predictor(kind: Predicting, width: int) -> Predictor:
    """Return a predictor of a kind."""
    kinds: dict[Predicting, Callable[[int], Predictor]] = {
        "convolution": ConvolutionPredictor,
        "last": LastStatePredictor,
    }
    return kinds[kind](width)


def is_matched(name: str) -> bool:
    """Return whether a parameter, by its qualified name, counts in the size by which variants are matched.

    A convolution predictor does not: its output reaches the selection of a store only.
    """
    return "predictor.convolution." not in name


def _shift(features: Tensor, mask: Tensor | None, past: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the features with `past` before them and the padding moved to the end, and the order of the tokens then,
    (batch, T), None if there is no padding."""
    order = None
    if mask is not None:
        order = (~mask.bool()).to(torch.int8).argsort(dim=1, stable=True)
        features = features.gather(1, order[..., None].expand_as(features))
    return torch.cat([past.to(features.dtype), features], 1), order


def _unpack(predicted: Tensor, order: Tensor | None) -> Tensor:
    if order is None:
        return predicted
    return torch.empty_like(predicted).scatter(1, order[..., None].expand_as(predicted), predicted)


def _newest(after: Tensor, mask: Tensor | None, taps: int) -> Tensor:
    if mask is None:
        return after[:, -taps:].contiguous()
    places = mask.sum(1)[:, None] + torch.arange(taps, device=mask.device)
    return after.gather(1, places[..., None].expand(-1, -1, after.shape[-1])).contiguous()


@torch.no_grad()
def predictors_r_squared(model: nn.Module, run: Callable[[], None]) -> tuple[float, ...]:
    """Return the R² of each predictor of a model over the tokens that `run` passes through it, in layer order.

    R² compares the squared error with that of the mean input. It is near 0 for a predictor that knows nothing, and may
    be negative. Padding does not count.

    Raises:
        ValueError: no token passed through a predictor.
    """
    modules = [m for m in model.modules() if isinstance(m, ConvolutionPredictor | LastStatePredictor)]
    found = [_RSquared() for _ in modules]
    handles = [module.register_forward_hook(one.add) for module, one in zip(modules, found, strict=True)]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return tuple(one.value for one in found)


def rounded_r_squared(values: Sequence[float]) -> tuple[float, ...] | None:
    """Return R² by layer, rounded to four digits as in records; None without a layer or if one is not finite."""
    return tuple(round(value, 4) for value in values) if values and all(map(isfinite, values)) else None


def selects_by_surprise(layout: Sequence[str], selection: Selection | None) -> bool:
    """Return whether a model has stores that are filled by surprise, so that its results depend on predictors.

    `selection` is the rule that fills the stores, None for the usual one.
    """
    return "BM" in layout and selection in (None, "innovation")


def refusal(
    layout: Sequence[str], selection: Selection | None, r_squared: Sequence[float] | None
) -> str | None:
    """Return why the results of a model are not reported, None if they are.

    Args:
        layout: The memory of each layer.
        selection: The rule that fills the stores, None for the usual one.
        r_squared: R² of its predictors in layer order, None if it was not measured.
    """
    if not selects_by_surprise(layout, selection):
        return None
    if r_squared is None:
        return "R² of the predictors of the innovation was not measured"
    if all(value >= LEAST_R_SQUARED for value in r_squared):
        return None
    found = ", ".join(f"{value:.2f}" for value in r_squared)
    return (
        f"a predictor of the innovation has R² below {LEAST_R_SQUARED} (by layer with a store: {found}), so its store "
        "does not keep the surprising tokens"
    )


class _RSquared:
    """Sums over the tokens, in float64."""

    def __init__(self) -> None:
        self._tokens = 0
        self._error: Tensor | float = 0.0
        self._sum: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        x, _, mask, _ = inputs
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask.bool()
        x, predicted = x[real].double(), output[0][real].double()
        self._tokens += len(x)
        self._error += (x - predicted).square().sum()
        self._sum = self._sum + x.sum(0)
        self._squares += x.square().sum()

    @property
    def value(self) -> float:
        if not self._tokens:
            raise ValueError("no token passed through the predictor")
        mean = torch.as_tensor(self._sum) / self._tokens
        total = torch.as_tensor(self._squares) - self._tokens * mean.square().sum()
        return float(1 - torch.as_tensor(self._error) / total)
