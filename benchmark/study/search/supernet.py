"""A supernet: one model that contains every point of the space, which share their weights.

Layer i has a memory of every symbol, at the largest width. The weights of a point are slices of it: the memory of its
symbol in each layer, and of every matrix the first channels. A training step trains one random point ("single path one
shot", Guo et al., ECCV 2020). After the training, the recall of a point with its slice is a score of its own training.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from eidolon.benchmark.study.recall.model import RecallModel, make_batch
from eidolon.benchmark.study.search.candidates import make_candidate, training_schedule
from eidolon.benchmark.study.search.recipe import SearchRecipe
from eidolon.benchmark.study.search.space import SearchedLayout
from eidolon.models.training.loop import DivergedError, train_loop
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from torch.nn import Parameter

LAYERS = "language.model.layers."
MEMORY = ".memory."
HALVES = {".gate_up.weight": 0, ".predictor.convolution.weight": 1}
"""Ends of names of weights that are two, one after the other, and the axis: the output of the feed-forward layer is a
gate and a value, and a predictor reads two vectors of the model's width."""


class Supernet(nn.Module):
    """The weights of all points, and the points as functions of them."""

    def __init__(self, recipe: SearchRecipe) -> None:
        super().__init__()
        self._recipe = recipe
        space = recipe.space
        self._points = space.points
        self._bare: dict[SearchedLayout, RecallModel] = {}
        weights: dict[str, Parameter] = {}
        for symbol in space.symbols:
            whole = make_candidate(
                recipe, SearchedLayout(layout=(symbol,) * space.depth, width=max(space.widths))
            )
            for name, weight in whole.named_parameters():
                weights.setdefault(_shared_name(name, (symbol,) * space.depth), weight)
        self._keys = {name: f"weight_{place}" for place, name in enumerate(weights)}
        for name, weight in weights.items():
            self.register_parameter(self._keys[name], nn.Parameter(weight.detach().clone()))

    def forward(self, batch: dict[str, Tensor], point: float) -> dict[str, Tensor]:
        """Return the losses of a point, by its number in the space; see `RecallModel.forward`."""
        chosen = self._points[int(point)]
        losses: dict[str, Tensor] = functional_call(self._empty(chosen), dict(self.slices(chosen)), (batch,))
        return losses

    def slices(self, point: SearchedLayout) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the weight of every parameter of a point, as views of the supernet's."""
        for name, empty in self._empty(point).named_parameters():
            weight = self.get_parameter(self._keys[_shared_name(name, point.layout)])
            halves = next((axis for end, axis in HALVES.items() if name.endswith(end)), None)
            yield name, _first(weight, empty.shape, halves)

    def extract(self, point: SearchedLayout) -> RecallModel:
        """Return a point as a model of its own, with copies of its weights."""
        model = make_candidate(self._recipe, point)
        with torch.no_grad():
            own = dict(model.named_parameters())
            for name, weight in self.slices(point):
                own[name].copy_(weight)
        return model

    def _empty(self, point: SearchedLayout) -> RecallModel:
        """Return a point without weights."""
        if point not in self._bare:
            with torch.device("meta"):
                self._bare[point] = make_candidate(self._recipe, point)
        return self._bare[point]


def _shared_name(name: str, layout: tuple[str, ...]) -> str:
    """Return the name of a point's parameter in the supernet: those of a layer's memory have its symbol in it."""
    if not name.startswith(LAYERS):
        return name
    layer = int(name.removeprefix(LAYERS).partition(".")[0])
    return name.replace(MEMORY, f"{MEMORY}{layout[layer]}.", 1)


def _first(weight: Tensor, shape: torch.Size, halves: int | None) -> Tensor:
    """Return the first channels of a weight along every axis; along the axis `halves`, of both halves."""
    if halves is None:
        return weight[tuple(slice(size) for size in shape)]
    half = torch.Size(size // 2 if axis == halves else size for axis, size in enumerate(shape))
    return torch.cat([_first(part, half, None) for part in weight.chunk(2, dim=halves)], dim=halves)


def train_supernet(recipe: SearchRecipe, folder: Path) -> Supernet:
    """Return the trained supernet of a recipe. A training in the folder is continued.

    Raises:
        UserError: the training diverged.
    """
    supernet = Supernet(recipe)
    steps = recipe.supernet_steps
    # The numbers of pairs grow over the supernet's own steps, as over those of a candidate.
    recall = recipe.recall.model_copy(update={"steps": steps})
    points = np.random.default_rng([recipe.seed, 2]).integers(len(recipe.space.points), size=steps)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        train_loop(
            supernet,
            lambda step, rank, world: make_batch(recall, step),
            training_schedule(recipe, steps).model_copy(update={"save_every": 250}),
            folder,
            arguments=lambda step: (float(points[step]),),
            identity=identity(recipe),
        )
    except DivergedError as error:
        raise UserError(f"{folder}: the supernet diverged: {error}; give another --seed and --out") from error
    return supernet.eval()


def identity(recipe: SearchRecipe) -> Mapping[str, object]:
    """Return what determines the weights of the supernet beside its schedule, as JSON."""
    kept = {"space", "recall", "store", "seed", "supernet_steps"}
    return recipe.model_dump(mode="json", include=kept)
