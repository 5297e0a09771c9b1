"""Recipes of the memory study. Those of two variants differ only in the layout and the seed."""

from eidolon.benchmark.scenes.dialogue import Mixture
from eidolon.benchmark.scenes.dialogue_training import DialogueRecipe
from eidolon.benchmark.scenes.scene import Dials
from eidolon.models.memory.building import MemoryArchitecture
from eidolon.models.memory.layout import Memory, layout_text
from eidolon.models.training.loop import Precision
from eidolon.models.training.vl_training import Phase, TrainingConfig

ORDER = 1
"""Seed of the order of the batches. It is the same for all seeds of the weights."""
VARIANTS: dict[str, str] = {
    "attention": "*-*-*-*",
    "swa": "SWA-SWA-SWA-SWA",
    "m2": "M2-M2-M2-M2",
    "gdn": "GDN-GDN-GDN-GDN",
    "gka": "GKA-GKA-GKA-GKA",
    "bmf": "BMF-BMF-BMF-BMF",
    "bm": "BM-BM-BM-BM",
    "hybrid": "GDN-GDN-GDN-*",
}
"""Layouts by the name of their variant."""


class MemoryRecipe(DialogueRecipe):
    """The recipe of a model of the study. The same recipe on the same machine gives the same weights."""

    architecture: MemoryArchitecture


_SEEING = Mixture(
    description=0.3, caption=1.5, questions=2.0, filler=0.2, other=0.1, names=5.0, rows=0.5,
    min_words=30, max_words=50, questions_each=2,
)  # fmt: skip
_SHORT = Mixture(
    description=1.5, caption=1.5, questions=1.5, filler=1.0, other=0.5, names=1.5, rows=0.6,
    min_words=30, max_words=60, facts=0.5, questions_each=2,
)  # fmt: skip
LONG_WORDS = 300
"""Words of the longest texts: about 384 tokens, four windows of 96."""
_LONG = Mixture(
    description=2.0, caption=0.7, questions=1.0, filler=2.5, other=1.5, names=0.7, rows=0.6,
    min_words=40, max_words=LONG_WORDS, facts=0.5, questions_each=2, scrambled=0.4,
)  # fmt: skip
CROWDED = Dials(max_objects=10, image_size=96)
"""Up to 10 categories, some two or three times and most with a colour. That is more than a small state keeps."""


LEARNING_RATE = 3e-3
"""The rate with the lowest loss for each memory of the study that was swept."""


def memory_recipe(
    memory: Memory,
    seed: int,
    *,
    steps: tuple[int, int, int] = (500, 400, 500),
    learning_rate: float = LEARNING_RATE,
    layer_parameters: int | None = None,
    order: int = ORDER,
    precision: Precision = "no",
) -> MemoryRecipe:
    """Return the recipe of one model.

    Args:
        memory: Layout and sizes of the memories.
        seed: Seed of the weights.
        steps: Training steps of the three phases.
        learning_rate: The largest learning rate.
        layer_parameters: Mean parameters of a layer; None for those of the study.
        order: Seed of the order of the batches.
        precision: Precision of matrix products.
    """
    seeing, short, long = steps
    sizes = {} if layer_parameters is None else {"layer_parameters": layer_parameters}
    return MemoryRecipe(
        name=f"memory-long-{layout_text(memory.layout)}-{seed}",
        architecture=MemoryArchitecture(memory=memory, **sizes),
        training=TrainingConfig(
            phases=(
                Phase(name="seeing", kind="dialogue", steps=seeing, batch_size=24, presence_weight=1.0),
                Phase(name="short", kind="dialogue", steps=short, batch_size=24, presence_weight=1.0),
                Phase(name="long", kind="dialogue", steps=long, batch_size=16, presence_weight=0.5),
            ),
            seed=seed,
            order=order,
            precision=precision,
            learning_rate=learning_rate,
            save_every=100,
        ),
        mixtures={"seeing": _SEEING, "short": _SHORT, "long": _LONG},
        dials=dict.fromkeys(("seeing", "short", "long"), CROWDED),
        name_weight={"seeing": 4.0, "short": 4.0, "long": 3.0},
    )
