"""The recipe of the model of signs, and its training batches."""

from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from eidolon.benchmark.scenes.sign_drawing import crop
from eidolon.benchmark.scenes.sign_names import names_of
from eidolon.models.aligner.architecture import AlignerArchitecture
from eidolon.models.aligner.hard_negatives import similar_names
from eidolon.models.aligner.pictures import to_tensor
from eidolon.models.aligner.proxy_training import ProxyTraining
from eidolon.models.aligner.text_features import hash_texts

if TYPE_CHECKING:
    from torch import Tensor

CROPS_EACH = 8
"""Different crops of each training name."""


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
        seed=31, learning_rate=2e-3, warmup=50, aligned_batches=300, proxy_batches=300, save_every=50
    ),
)
"""The model of signs that comes with Eidolon."""


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
    """Batches by step. A crop is drawn when it is first needed and then kept."""

    def __init__(self, recipe: SignRecipe, hard: NDArray[np.bool_]) -> None:
        self.recipe = recipe
        self.rivals = [np.flatnonzero(row) for row in hard]

    def __call__(self, step: int, rank: int, world: int) -> "dict[str, Tensor]":
        """Return the batch of a step, which depends only on the step and the process."""
        import torch

        training = self.recipe.signs
        rng = np.random.default_rng([self.recipe.data_seed, step, rank])
        aligned = step < training.aligned_batches
        if aligned:
            labels = rng.choice(len(self.rivals), size=training.batch_size, replace=False)
        else:
            labels = np.repeat(self._classes(rng), training.samples_each)
        chosen = [int(label) * CROPS_EACH + int(rng.integers(CROPS_EACH)) for label in labels]
        batch = {
            "pictures": torch.stack(
                [_picture(self.recipe.data_seed, number, self.recipe.aligner) for number in chosen]
            ),
            "labels": torch.from_numpy(labels),
        }
        if aligned:
            names = [training_names()[label] for label in labels]
            batch["captions"] = hash_texts(names, self.recipe.aligner.buckets)
        return batch

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


@cache
def _picture(seed: int, number: int, architecture: AlignerArchitecture) -> "Tensor":
    rng = np.random.default_rng([seed, number, *b"crop"])
    return to_tensor([crop(training_names()[number // CROPS_EACH], rng)], architecture)[0]
