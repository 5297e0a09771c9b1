"""How well the predictors of a model's stores predict: their R² over long references of held-out scenes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eidolon.benchmark.scenes.dialogue import DESCRIBE_PROMPTS
from eidolon.benchmark.scenes.memory_training import CROWDED
from eidolon.benchmark.scenes.scene import Scene, make_scene, render
from eidolon.benchmark.scenes.text import describe
from eidolon.models.base.model import Request

if TYPE_CHECKING:
    from eidolon.models.backends.transformers import TransformersModel

SCENES = 16
"""Scenes whose references are read: about 7,000 tokens."""
LONG_WORDS = (300, 400)
"""Bounds of the length of a long reference, in words."""


def long_reference(scene: Scene, words: tuple[int, int] = LONG_WORDS) -> str:
    """Return the long reference of a scene."""
    return describe(scene, scene.rng("bench long reference"), words)


def predictors_on_references(
    model: "TransformersModel",
    scenes: Sequence[Scene] | None = None,
    *,
    prompt: str = DESCRIBE_PROMPTS[0],
    words: tuple[int, int] = LONG_WORDS,
) -> tuple[float, ...] | None:
    """Return the R² of each predictor of a model, in layer order, rounded to four digits; None without predictors.

    Image, prompt and text count alike, since a store selects from all of them. The texts are read one at a time, so
    that no padding is read.

    Args:
        model: The model.
        scenes: The scenes that are described; None for `SCENES` held-out ones.
        prompt: The prompt before each reference.
        words: Bounds of the length of the references.
    """
    from eidolon.models.memory.innovation import predictors_r_squared, rounded_r_squared
    from eidolon.models.probing.teacher_forcing import teacher_force

    chosen = scenes if scenes is not None else [make_scene(0, index, CROWDED) for index in range(SCENES)]

    def read() -> None:
        for scene in chosen:
            request = Request(str(scene.index), scene.index, render(scene), prompt, is_question=True)
            for _ in teacher_force(model, [request], [model.encode_reply(long_reference(scene, words))]):
                pass

    return rounded_r_squared(predictors_r_squared(model.model, read))
