"""The models of the study, registered in `docs/evidence/memory-plan.md` before any was trained."""

from dataclasses import dataclass, field
from typing import Any

from eidolon.benchmark.scenes.memory_training import VARIANTS, MemoryRecipe, memory_recipe
from eidolon.models.memory.layout import Memory

RATES = (3e-3, 1e-3, 9e-3)
"""Learning rates of the sweep."""
SEEDS = (1, 2, 3, 4, 5)
TESTED = ("attention", "swa", "gdn", "m2", "bm")
"""Variants with all seeds."""
DESCRIBED = ("gka", "bmf", "hybrid")
"""Variants with the first seed and the first rate only. They are described, and no test is about them."""
BYTES_PARAMETERS = 220_000
"""Mean parameters of a layer of the models that are matched by bytes. A state as large as the memory of `bm` needs
more of them than the models that are matched by parameters have."""
SAME_BYTES: dict[str, tuple[str, dict[str, int]]] = {
    "gdn-bytes": ("gdn", {"head_dim": 140}),
    "m2-bytes": ("m2", {"head_dim": 140}),
    "swa-bytes": ("swa", {"window": 330}),
}
"""Variants that keep as many bytes for a text as `bm`, within 5 %. Each layer of `bm` has keys and values of 303 tokens
(a window of 96, 191 fading states and 16 stored tokens), the state of its `GDN` and the inputs of its predictor."""


@dataclass(frozen=True, slots=True)
class StudyModel:
    """One model of the study."""

    variant: str
    seed: int
    learning_rate: float
    sizes: dict[str, Any] = field(default_factory=dict)
    base: str | None = None
    """The variant that it is with other sizes; None for itself."""

    @property
    def name(self) -> str:
        """The name of its folder and record."""
        return f"{self.variant}-lr{self.learning_rate:g}-seed{self.seed}"

    def recipe(self) -> MemoryRecipe:
        """Return its recipe."""
        memory = Memory.model_validate({"layout": VARIANTS[self.base or self.variant], **self.sizes})
        parameters = None if self.base is None else BYTES_PARAMETERS
        return memory_recipe(memory, self.seed, learning_rate=self.learning_rate, layer_parameters=parameters)


@dataclass(frozen=True, slots=True)
class StudyVariant:
    """The models of a variant: one for each rate with the first seed, then the other seeds with the best rate."""

    name: str
    seeds: tuple[int, ...]
    sizes: dict[str, Any] = field(default_factory=dict)
    base: str | None = None
    rates: tuple[float, ...] = RATES

    def model(self, seed: int, learning_rate: float) -> StudyModel:
        """Return one of the models."""
        return StudyModel(self.name, seed, learning_rate, self.sizes, self.base)

    def swept(self) -> list[StudyModel]:
        """Return the models of the sweep."""
        return [self.model(self.seeds[0], rate) for rate in self.rates]


def study_variants() -> list[StudyVariant]:
    """Return the variants in the order in which they are trained."""
    return [
        *(StudyVariant(name, SEEDS) for name in TESTED),
        *(StudyVariant(name, SEEDS[:1], rates=RATES[:1]) for name in DESCRIBED),
        *(
            StudyVariant(name, SEEDS[:1], sizes, base, RATES[:1])
            for name, (base, sizes) in SAME_BYTES.items()
        ),
    ]
