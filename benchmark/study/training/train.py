"""From a recipe to a checkpoint with its card: what `eidolon train` does."""

from pathlib import Path

from eidolon.benchmark.scenes.aligner_training import AlignerRecipe
from eidolon.benchmark.scenes.judge_training import JudgeRecipe
from eidolon.benchmark.scenes.memory_training import MemoryRecipe
from eidolon.benchmark.scenes.sign_training import SignRecipe
from eidolon.benchmark.study.training.aligner import train_aligner
from eidolon.benchmark.study.training.judge import train_judge
from eidolon.benchmark.study.training.memory import train_memory_recipe
from eidolon.benchmark.study.training.model import train_model
from eidolon.benchmark.study.training.recipes import find_recipe
from eidolon.benchmark.study.training.session import prepare
from eidolon.benchmark.study.training.signs import train_signs


def train_recipe(name: str, out: Path, *, scenes: int, stop_at: int | None = None) -> None:
    """Train, evaluate and write the checkpoint into `out/checkpoint`. A training that was stopped is resumed.

    Args:
        name: A shipped recipe, or a JSON file with one.
        out: Folder for the state of the training and the checkpoint.
        scenes: Held-out scenes to evaluate on.
        stop_at: Stop after so many steps.

    Raises:
        UserError: a recipe that does not exist or is invalid, or an `out` that cannot be written.
    """
    recipe = find_recipe(name)
    prepare(out)
    if isinstance(recipe, JudgeRecipe):
        train_judge(recipe, out, scenes, stop_at)
    elif isinstance(recipe, AlignerRecipe):
        train_aligner(recipe, out, scenes, stop_at)
    elif isinstance(recipe, SignRecipe):
        train_signs(recipe, out, stop_at)
    elif isinstance(recipe, MemoryRecipe):
        train_memory_recipe(recipe, out, None, None, scenes=scenes, stop_at=stop_at)
    else:
        train_model(recipe, out, scenes, stop_at)
