"""The recipe of the model of signs, and its training batches."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from eidolon.benchmark.scenes.pen import COLOURS
from eidolon.benchmark.scenes.sign_drawing import crop
from eidolon.benchmark.scenes.sign_names import LONGEST, make_up, names_of
from eidolon.models.aligner.hard_negatives import similar_names
from eidolon.models.aligner.pictures import to_tensor
from eidolon.models.aligner.proxy_training import ProxyTraining
from eidolon.models.aligner.sign_architecture import SignArchitecture
from eidolon.models.aligner.spelling import padded_symbols, spell
from eidolon.models.training.loop import Restart

if TYPE_CHECKING:
    from torch import Tensor

SHORT = 3
"""Letters of the names in the first step."""
HEIGHTS = (24, 57)
"""Range of the heights of the signs in training, in pixels."""
MARGINS = (-0.03, 0.1)
"""Range of what a crop shows beyond each edge of the sign, as a share of its side."""


class SignRecipe(BaseModel):
    """The recipe of a model of signs. The same recipe on the same machine gives the same weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    aligner: SignArchitecture
    signs: ProxyTraining
    hard: Literal["none", "similarity"] = "similarity"
    """Hard negative classes: none (ProxyNCA++), or those with similar names (ProxyNCAHN++)."""
    growth: int = Field(0, ge=0)
    """Steps over which the made-up names grow to their full length. Short names are easier to learn to read."""
    data_seed: int = 4001


_ALIGNED, _PROXIES = 1000, 150
SIGNS = SignRecipe(
    name="aligner-signs",
    aligner=SignArchitecture(),
    signs=ProxyTraining(
        seed=31,
        learning_rate=3e-3,
        warmup=50,
        horizon=_ALIGNED,
        restarts=(Restart(step=_ALIGNED, learning_rate=3e-4, horizon=_PROXIES),),
        aligned_batches=_ALIGNED,
        proxy_batches=_PROXIES,
        save_every=50,
    ),
    growth=300,
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


def training_crop(name: str, rng: np.random.Generator) -> Image.Image:
    """Return a crop of a sign of any size and with any margins, as the regions of a picture have."""
    drawn = crop(name, rng, int(rng.integers(*HEIGHTS)))
    left, upper, right, lower = rng.uniform(*MARGINS, 4)
    box = (-left * drawn.width, -upper * drawn.height, (1 + right) * drawn.width, (1 + lower) * drawn.height)
    around = COLOURS[str(rng.choice(list(COLOURS)))]
    return drawn.transform(
        drawn.size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR, fillcolor=around
    )


class SignBatches:
    """Batches by step. Every crop is new: with a few fixed crops of each name a model memorises the crops."""

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
            grown = min(1.0, step / max(1, self.recipe.growth))
            most = SHORT + round((LONGEST - SHORT) * grown)
            names = [make_up(rng, most) for _ in range(training.batch_size)]
            return {**self._drawn(names, rng), "spellings": spell(names)}
        labels = np.repeat(self._classes(rng), training.samples_each)
        names = [training_names()[label] for label in labels]
        return {**self._drawn(names, rng), "labels": torch.from_numpy(labels)}

    def _drawn(self, names: Sequence[str], rng: np.random.Generator) -> "dict[str, Tensor]":
        pictures = to_tensor([training_crop(name, rng) for name in names], self.recipe.aligner)
        read, lengths = padded_symbols(names)
        return {"pictures": pictures, "symbols": read, "lengths": lengths}

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
