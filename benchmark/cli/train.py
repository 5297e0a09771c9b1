"""`eidolon train`: make a shipped model or judge again, from nothing."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="The name of a shipped model or judge, or a recipe.json.")],
    out: Annotated[Path, typer.Option(help="Folder for the training's state and the checkpoint.")],
    scenes: Annotated[int, typer.Option(min=2, help="Held-out scenes to evaluate on.")] = 300,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps; the same command goes on.")
    ] = None,
) -> None:
    """Train a VL model, or a judge, from scratch on Scenes, evaluate it on held-out scenes and write its card.

    The same command again resumes. Under `accelerate launch` it uses every process.
    """
    from eidolon.benchmark.launch import find_world
    from eidolon.benchmark.scenes.train import train_recipe

    find_world()  # says so where a launcher that was told several processes started one
    train_recipe(recipe, out, scenes=scenes, stop_at=steps)
