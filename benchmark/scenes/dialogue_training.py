"""Recipes of the shipped vision-language models, and their training samples."""

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from eidolon.benchmark.scenes.dialogue import Mixture, Turn, training_pair
from eidolon.benchmark.scenes.pen import COLOURS
from eidolon.benchmark.scenes.scene import Dials, Scene, render
from eidolon.benchmark.scenes.world import CATEGORIES, VOCABULARY
from eidolon.models.training.idefics3 import Architecture
from eidolon.models.training.loop import Restart
from eidolon.models.training.vl_training import Phase, TrainingConfig, TrainingSample, TrainingTurn

CLOSED_WEIGHT = 4.0
"""Loss weight of a yes/no answer, which is one token, against the hundred tokens of a description."""
CELL_LABELS = (*VOCABULARY, *COLOURS)
_ALL_NAMES = {
    name
    for c in CATEGORIES.values()
    for name in (c.name, c.plural, *(n for pair in c.synonyms for n in pair))
}
NAMES = re.compile(
    rf"\b(?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join(sorted(_ALL_NAMES, key=lambda n: (-len(n), n)))})\b",
    re.IGNORECASE,
)
"""A named object with the colour before it."""
OPENINGS = re.compile(r"(?:^|(?<=\. ))(?:There|I|You|Here|On|In|An?|Two|Three)\b")
"""The first word of sentences that name objects for the first time."""


class DialogueRecipe(BaseModel):
    """The data and the training of a vision-language model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    training: TrainingConfig
    mixtures: dict[str, Mixture] = Field(default_factory=dict)
    """The mixture of dialogues by the name of the phase. A phase without one has the default."""
    dials: dict[str, Dials] = Field(default_factory=dict)
    """The dials by the name of the phase. A phase without any has the default."""
    name_weight: dict[str, float] = Field(default_factory=dict)
    """By phase, the loss weight of the words that name objects in descriptions; default 1. Only one word in a dozen
    decides which object comes next."""
    opening_weight: dict[str, float] = Field(default_factory=dict)
    """By phase, the loss weight of the first word of a sentence that names objects; default 1. This word decides
    whether the model continues to name objects."""
    data_seed: int = 1001
    """Seed of the training scenes. The evaluation uses another (default 0)."""


class Recipe(DialogueRecipe):
    """The recipe of a model. The same recipe on the same machine gives the same weights."""

    architecture: Architecture = Architecture()


_SHORT = Mixture(
    description=1.0, caption=2.0, questions=4.0, filler=0.3, other=0.3, min_words=40, max_words=80
)
_FOCUS = Mixture(
    description=0.7, caption=5.0, questions=4.0, filler=0.15, other=0.15, min_words=40, max_words=80
)
"""Short texts with many names and answers: the fastest way to learn to use the image and to name each thing once."""
_ANSWER = Mixture(
    description=1.5, caption=3.0, questions=5.0, filler=0.4, other=0.3, min_words=40, max_words=100
)
_FINISH = Mixture(description=6.0, caption=1.0, questions=1.5, filler=0.3, other=0.3, max_words=160)
_FINISH_SMALL = Mixture(
    description=3.0, caption=4.0, questions=2.0, filler=0.2, other=0.2, min_words=40, max_words=120
)
_DIALS = {
    # Images of the size of the model's input: twice as fast, and as good for learning shapes.
    "cells": Dials(image_size=96),
}

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="scenes-base",
            architecture=Architecture(text_inner=384, vocabulary=1344),
            training=TrainingConfig(
                phases=(
                    Phase(name="cells", kind="cells", steps=2000, batch_size=32),
                    Phase(name="short", kind="dialogue", steps=800, batch_size=16),
                    Phase(name="focus", kind="dialogue", steps=1200, batch_size=24),
                    Phase(name="answer", kind="dialogue", steps=1400, batch_size=24, presence_weight=1.0),
                    Phase(name="long", kind="dialogue", steps=1200, batch_size=16, presence_weight=0.5),
                    Phase(name="finish", kind="dialogue", steps=600, batch_size=16, presence_weight=0.3),
                    Phase(name="last", kind="dialogue", steps=600, batch_size=24, presence_weight=0.3),
                ),
                seed=1,
                precision="bf16",
                horizon=5500,
                restarts=(
                    Restart(step=4000, horizon=3200, learning_rate=1.2e-3),
                    Restart(step=4200, horizon=2600, learning_rate=1.2e-3, since=4000),
                    Restart(step=6600, horizon=3200, learning_rate=1.2e-3, since=4000),
                    Restart(step=7200, horizon=600, learning_rate=5e-4),
                ),
            ),
            mixtures={
                "short": _SHORT,
                "focus": _FOCUS,
                "answer": _ANSWER,
                "finish": _FINISH,
                "last": _FINISH,
            },
            dials=_DIALS,
            name_weight={"focus": 5.0, "answer": 5.0, "long": 3.0, "finish": 6.0, "last": 6.0},
            opening_weight={"last": 3.0},
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
                phases=(
                    Phase(name="cells", kind="cells", steps=1600, batch_size=32),
                    Phase(name="answer", kind="dialogue", steps=1600, batch_size=24, presence_weight=1.0),
                    Phase(name="long", kind="dialogue", steps=1400, batch_size=16, presence_weight=0.5),
                    Phase(name="finish", kind="dialogue", steps=1500, batch_size=24, presence_weight=0.3),
                ),
                seed=2,
                precision="bf16",
                learning_rate=2e-3,
                horizon=4600,
                restarts=(Restart(step=4600, horizon=1500, learning_rate=1.5e-3),),
            ),
            mixtures={"answer": _ANSWER, "finish": _FINISH_SMALL},
            dials=_DIALS,
            name_weight={"answer": 5.0, "long": 3.0, "finish": 6.0},
        ),
        # The vision encoder of all models of the memory family. Its text side is never used.
        Recipe(
            name="eye",
            architecture=Architecture(
                vision_width=64, vision_layers=4, text_width=96, text_layers=1, text_inner=64, vocabulary=1344
            ),
            training=TrainingConfig(
                phases=(Phase(name="cells", kind="cells", steps=6001, batch_size=32),),
                seed=5,
                learning_rate=2e-3,
                save_every=500,
            ),
            dials=_DIALS,
        ),
    )
}


def _learn(turn: Turn, name_weight: float, opening_weight: float) -> TrainingTurn:
    """Return a turn with the loss weights of its parts, and the objects that its question asks for."""
    asked_for = _asked_for(turn)
    if turn.is_closed:
        return TrainingTurn(turn.ask, turn.answer, CLOSED_WEIGHT, presence=asked_for)
    emphasis = [
        (*match.span(), weight)
        for pattern, weight in ((NAMES, name_weight), (OPENINGS, opening_weight))
        if weight != 1.0
        for match in pattern.finditer(turn.answer)
    ]
    return TrainingTurn(turn.ask, turn.answer, 1.0, emphasis, presence=asked_for)


def _asked_for(turn: Turn) -> list[tuple[int, bool]]:
    """Return the end of each name in the question of a turn, as a character index, and whether the object is there."""
    found: list[tuple[int, bool]] = []
    end = len(turn.ask)
    # From the end: the text before the question may contain the same names.
    for category, present in reversed(turn.about):
        plural = CATEGORIES[category].plural
        name = plural if plural in turn.ask[:end] and len(turn.about) == 1 else category
        start = turn.ask.rindex(name, 0, end)
        found.append((start + len(name), present))
        end = start
    return found[::-1]


def cell_targets(scene: Scene, grid: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.bool_]]:
    """Return which categories and colours are drawn in each cell: bool (grid, grid, labels).

    The labels are those of `CELL_LABELS`.

    A thing is in a cell if its box covers the centre of the cell, or 40 % of its width and height.
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


def training_samples(recipe: DialogueRecipe, grid: int) -> Callable[[int, int], TrainingSample]:
    """Return the function from (phase, index) to a training sample with grid by grid cells."""
    starts = [0]
    for phase in recipe.training.phases:
        # The phases share one stream of scenes. One scene is left between two phases: a dialogue may use the next
        # scene.
        starts.append(starts[-1] + phase.steps * phase.batch_size + 1)

    def sample(phase: int, index: int) -> TrainingSample:
        name = recipe.training.phases[phase].name
        mixture, dials = recipe.mixtures.get(name, Mixture()), recipe.dials.get(name, Dials())
        scene, turns = training_pair(recipe.data_seed, starts[phase] + index, dials, mixture)
        return TrainingSample(
            image=lambda: render(scene),
            turns=[
                _learn(turn, recipe.name_weight.get(name, 1.0), recipe.opening_weight.get(name, 1.0))
                for turn in turns
            ],
            cells=cell_targets(scene, grid),
        )

    return sample


@lru_cache(maxsize=1)
def tokenizer_texts(n: int = 4000, data_seed: int = 1001) -> tuple[str, ...]:
    """Return `n` dialogues to train a tokenizer on."""
    texts = []
    for index in range(n):
        _, turns = training_pair(data_seed, index, Dials(), Mixture())
        texts += [f"User: {turn.ask}\nAssistant: {turn.answer}\n" for turn in turns]
    return tuple(texts)
