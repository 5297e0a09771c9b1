"""Scenes as training material: recipes of the shipped models, and samples for the training loop."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from eidolon.benchmark.scenes.dialogue import Mixture, training_pair
from eidolon.benchmark.scenes.scene import Dials, Scene, render
from eidolon.benchmark.scenes.shapes import COLOURS
from eidolon.benchmark.scenes.world import VOCABULARY
from eidolon.models.idefics3 import Architecture
from eidolon.models.training import Phase, TrainingConfig, TrainingSample

CLOSED_WEIGHT = 4.0
"""Loss weight of a yes/no answer: one deciding token beside a hundred of description."""
CELL_LABELS = (*VOCABULARY, *COLOURS)


class Recipe(BaseModel):
    """All that makes a shipped model: the same recipe on the same machine gives the same weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    architecture: Architecture = Architecture()
    training: TrainingConfig
    mixtures: dict[str, Mixture] = Field(default_factory=dict)
    """The mixture of dialogues of each phase, by its name; the default where a phase has none."""
    dials: dict[str, Dials] = Field(default_factory=dict)
    """The dials of each phase, likewise."""
    data_seed: int = 1001
    """Seed of the training scenes; evaluation uses others (0 by default)."""


def _phases(cells: int, short: int, long: int) -> tuple[Phase, ...]:
    return (
        Phase(name="cells", kind="cells", steps=cells, batch_size=32),
        Phase(name="short", kind="dialogue", steps=short, batch_size=16),
        Phase(name="long", kind="dialogue", steps=long, batch_size=16),
    )


_MIXTURES = {
    "short": Mixture(
        description=1.0, caption=2.0, questions=4.0, filler=0.3, other=0.3, min_words=40, max_words=80
    ),
    "long": Mixture(),
}
_DIALS = {
    # Drawn at the model's own size: as good for learning shapes, and twice as fast.
    "cells": Dials(image_size=96),
}

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="scenes-base",
            architecture=Architecture(text_inner=384, vocabulary=1344),
            training=TrainingConfig(phases=_phases(2000, 900, 2600), seed=1, precision="bf16"),
            mixtures=_MIXTURES,
            dials=_DIALS,
        ),
        Recipe(
            name="scenes-small",
            architecture=Architecture(
                vision_width=64,
                vision_layers=3,
                text_width=96,
                text_layers=3,
                text_inner=256,
                vocabulary=1344,
            ),
            training=TrainingConfig(
                phases=_phases(2000, 900, 2000), seed=2, learning_rate=2e-3, precision="bf16"
            ),
            mixtures=_MIXTURES,
            dials=_DIALS,
        ),
    )
}


def cell_targets(scene: Scene, grid: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.bool_]]:
    """Return, for each of the cells of a grid by grid raster, which categories and colours are drawn there.

    A thing is in a cell when its box covers the cell's centre or a good part (40 %) of the cell.
    """
    cells = np.zeros((grid, grid, len(CELL_LABELS)), dtype=np.bool_)
    edges = np.arange(grid + 1) / grid
    for thing in scene.things:
        labels = [CELL_LABELS.index(thing.category)]
        if thing.colour:
            labels.append(CELL_LABELS.index(thing.colour))
        for x0, y0, x1, y1 in thing.boxes:
            wide = np.clip(np.minimum(edges[1:], x1) - np.maximum(edges[:-1], x0), 0, None) * grid
            high = np.clip(np.minimum(edges[1:], y1) - np.maximum(edges[:-1], y0), 0, None) * grid
            covered = high[:, None] * wide[None, :] >= 0.4
            covered[min(grid - 1, int((y0 + y1) / 2 * grid)), min(grid - 1, int((x0 + x1) / 2 * grid))] = True
            for label in labels:
                cells[..., label] |= covered
    return cells


def training_samples(recipe: Recipe) -> Callable[[int, int], TrainingSample]:
    """Return the function from (phase, index) to a training sample."""
    starts = [0]
    for phase in recipe.training.phases:
        # Phases draw from one stream of scenes, one after the other; a dialogue may show the next scene's text.
        starts.append(starts[-1] + phase.steps * phase.batch_size + 1)
    grid = recipe.architecture.grid

    def sample(phase: int, index: int) -> TrainingSample:
        name = recipe.training.phases[phase].name
        mixture, dials = recipe.mixtures.get(name, Mixture()), recipe.dials.get(name, Dials())
        scene, turns = training_pair(recipe.data_seed, starts[phase] + index, dials, mixture)
        return TrainingSample(
            image=lambda: render(scene),
            turns=[(t.ask, t.answer, CLOSED_WEIGHT if t.is_closed else 1.0) for t in turns],
            cells=cell_targets(scene, grid),
        )

    return sample


@lru_cache(maxsize=1)
def tokenizer_texts(n: int = 4000, data_seed: int = 1001) -> tuple[str, ...]:
    """Return Scenes dialogues to train a tokenizer on."""
    texts = []
    for index in range(n):
        _, turns = training_pair(data_seed, index, Dials(), Mixture())
        texts += [f"User: {turn.ask}\nAssistant: {turn.answer}\n" for turn in turns]
    return tuple(texts)
