"""The recipe of the model of signs, and its training batches."""

from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from eidolon.benchmark.scenes.sign_drawing import crop
from eidolon.benchmark.scenes.sign_names import make_up, names_of
from eidolon.models.aligner.architecture import AlignerArchitecture
from eidolon.models.aligner.hard_negatives import similar_names
from eidolon.models.aligner.pictures import to_tensor
from eidolon.models.aligner.proxy_training import ProxyTraining
from eidolon.models.aligner.text_features import hash_texts

if TYPE_CHECKING:
    from torch import Tensor


class SignRecipe(BaseModel):
    """The recipe of a model of signs. The same recipe on the same machine gives the same weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    aligner: AlignerArchitecture
    signs: ProxyTraining
    hard: Literal["none", "similarity"] = "similarity"
    """Hard negative classes: none (ProxyNCA++), or those with similar names (ProxyNCAHN++)."""
    data_seed: int = 4001


SIGNS = SignRecipe(
    name="aligner-signs",
    aligner=AlignerArchitecture(height=32, width=128, channels=(32, 48, 64), grid=(1, 16)),
    signs=ProxyTraining(
        seed=31, learning_rate=2e-3, warmup=50, aligned_batches=300, proxy_batches=100, save_every=50
    ),
)
"""The recipe of `eidolon train aligner-signs`."""


@cache
def training_names() -> tuple[str, ...]:
    """Return the names of training, in the order of their labels."""
    return tuple(name.name for name in names_of("train"))


def hard_negatives(recipe: SignRecipe) -> NDArray[np.bool_]:
    """Return the hard negatives of each training name, bool (names, names), as the recipe says."""
    names = training_names()
    if recipe.hard == "similarity":
        return similar_names(names)
    return np.zeros((len(names), len(names)), dtype=np.bool_)


class SignBatches:
    """Batches by step. Every crop is new: with a few fixed crops of each name a model learns the crops by heart."""

    def __init__(self, recipe: SignRecipe, hard: NDArray[np.bool_]) -> None:
        self.recipe = recipe
        self.rivals = [np.flatnonzero(row) for row in hard]

    def __call__(self, step: int, rank: int, world: int) -> "dict[str, Tensor]":
        """Return the batch of a step, which depends only on the step and the process.

        The first phase has made-up names that are no classes, because reading needs many names.
        """
        import torch

        training = self.recipe.signs
        rng = np.random.default_rng([self.recipe.data_seed, step, rank])
        if step < training.aligned_batches:
            names = [make_up(rng) for _ in range(training.batch_size)]
            pictures = to_tensor([crop(name, rng) for name in names], self.recipe.aligner)
            return {"pictures": pictures, "captions": hash_texts(names, self.recipe.aligner.buckets)}
        labels = np.repeat(self._classes(rng), training.samples_each)
        crops = [crop(training_names()[label], rng) for label in labels]
        return {"pictures": to_tensor(crops, self.recipe.aligner), "labels": torch.from_numpy(labels)}

    def _classes(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return different classes: random ones, and after each a hard negative of it, if it has one."""
        chosen: list[int] = []
        for label in rng.permutation(len(self.rivals)):
            rivals = [r for r in self.rivals[label] if r not in chosen and r != label]
            if label not in chosen:
                chosen.append(int(label))
                if rivals:
                    chosen.append(int(rng.choice(rivals)))
            if len(chosen) >= self.recipe.signs.classes:
                break
        return np.array(chosen[: self.recipe.signs.classes])
