"""The recipe of the aligner of Scenes, and its training pairs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.benchmark.scenes.text import article, caption, noun
from eidolon.benchmark.scenes.world import CATEGORIES, VOCABULARY
from eidolon.models.aligner.architecture import AlignerArchitecture
from eidolon.models.aligner.pictures import to_tensor
from eidolon.models.aligner.text_features import hash_texts
from eidolon.models.aligner.training import AlignerTraining, LossWeights
from eidolon.models.training.loop import Restart

if TYPE_CHECKING:
    from torch import Tensor

DIALS = Dials(min_objects=1, cooccurrence=0.5)
"""Few objects and unusual combinations, so that the aligner learns from the picture and not from what is likely."""
TEMPLATES = (
    "{name}",
    "{one}",
    "{plural}",
    "a picture of {one}",
    "a drawing of {one}",
    "there is {one} in the picture",
)
"""How a training step writes a name. The first is that of the evaluation."""


class AlignerRecipe(BaseModel):
    """The recipe of an aligner. The same recipe on the same machine gives the same weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    aligner: AlignerArchitecture
    training: AlignerTraining
    data_seed: int = 3001
    """Seed of the training scenes. The evaluation uses another (default 0)."""


ALIGNER = AlignerRecipe(
    name="aligner",
    aligner=AlignerArchitecture(),
    training=AlignerTraining(
        seed=21,
        learning_rate=2e-3,
        batches=750,
        horizon=2000,
        restarts=(Restart(step=500, learning_rate=1.8e-3, horizon=350),),
        batch_size=64,
        pairs=6000,
        losses=LossWeights(presence=20.0),
        save_every=250,
    ),
)
"""The aligner that comes with Eidolon."""


class AlignerBatches:
    """Batches by step. A scene is drawn when it is first needed and then kept, one byte a value."""

    def __init__(self, recipe: AlignerRecipe) -> None:
        self.recipe = recipe
        self._drawn: dict[int, Tensor] = {}

    def __call__(self, step: int, rank: int, world: int) -> "dict[str, Tensor]":
        """Return the batch of a step, which depends only on the step and the process.

        With several processes each contrasts within its own batch, so their number changes the loss.
        """
        import torch

        training, buckets = self.recipe.training, self.recipe.aligner.buckets
        rng = np.random.default_rng([self.recipe.data_seed, step, rank])
        chosen = rng.choice(training.pairs, size=training.batch_size, replace=False)
        scenes = [make_scene(self.recipe.data_seed, int(i), DIALS) for i in chosen]
        batch = {
            "ids": torch.from_numpy(chosen),
            "pictures": shifted(torch.stack([self._picture(int(i)) for i in chosen]), rng),
            "captions": hash_texts([caption(scene, rng) for scene in scenes], buckets),
        }
        if training.losses.presence:
            batch["names"] = hash_texts([write_name(name, rng) for name in VOCABULARY], buckets)
            present = [[float(name in scene.objects) for name in VOCABULARY] for scene in scenes]
            batch["present"] = torch.tensor(present)
        if training.losses.needs_views:
            batch["picture_views"] = shifted(batch["pictures"].flip(-1), rng)
            batch["caption_views"] = hash_texts([caption(scene, rng) for scene in scenes], buckets)
        return batch

    def _picture(self, index: int) -> "Tensor":
        if index not in self._drawn:
            scene = make_scene(self.recipe.data_seed, index, DIALS)
            self._drawn[index] = to_tensor([render(scene)], self.recipe.aligner)[0]
        return self._drawn[index]


def shifted(pictures: "Tensor", rng: np.random.Generator, most: int = 6) -> "Tensor":
    """Return pictures moved by up to `most` pixels each way; the edge is repeated. One move for the whole batch."""
    from torch.nn.functional import pad

    dx, dy = (int(move) for move in rng.integers(-most, most + 1, 2))
    padded = pad(pictures.float(), (most, most, most, most), mode="replicate").to(pictures.dtype)
    height, width = pictures.shape[-2:]
    return padded[..., most + dy : most + dy + height, most + dx : most + dx + width]


def write_name(category: str, rng: np.random.Generator) -> str:
    """Return a category's name in one of the templates, sometimes a synonym."""
    name = noun(category, 1, rng)
    one = name if category == "scissors" else article(name)
    plural = CATEGORIES[category].plural
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(name=name, one=one, plural=plural)


def batches(recipe: AlignerRecipe) -> "Callable[[int, int, int], dict[str, Tensor]]":
    """Return the function from step, process and number of processes to the batch."""
    return AlignerBatches(recipe)
