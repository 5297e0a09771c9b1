"""`eidolon train`: make a shipped model or judge again, from nothing."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="The name of a shipped model or judge, a recipe.json, or memory: a model of the memory family."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the training's state and the checkpoint.")],
    scenes: Annotated[int, typer.Option(min=2, help="Held-out scenes to evaluate on.")] = 300,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps; the same command goes on.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="With memory: a variant, or a layer's memory after the other: GDN-GDN-GDN-*."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="With memory: the seed of the weights.")] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="With memory: tokens that a window holds.")
    ] = None,
    store: Annotated[int | None, typer.Option(min=1, help="With memory: tokens that a store holds.")] = None,
    selection: Annotated[
        str | None,
        typer.Option(metavar="innovation|recent|random", help="With memory: which tokens a store keeps."),
    ] = None,
    order: Annotated[
        int | None,
        typer.Option(min=0, help="With memory: the seed of the order of the batches. Default: the study's."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="no|bf16",
            help="With memory: of matrix products; no is float32. Default: bf16 on a GPU, else no.",
        ),
    ] = None,
    eye: Annotated[
        Path | None, typer.Option(help="With memory: a checkpoint whose picture side to look through.")
    ] = None,
    batches: Annotated[
        Path | None,
        typer.Option(help="With memory: a folder that keeps the batches, for trainings that share them."),
    ] = None,
) -> None:
    """Train a VL model, or a judge, from scratch on Scenes, evaluate it on held-out scenes and write its card.

    The same command again resumes. Under `accelerate launch` it uses every process.
    """
    from eidolon.benchmark.engine.launch import find_world
    from eidolon.benchmark.study.training.train import train_recipe
    from eidolon.scorers.core.errors import UserError

    find_world()  # says so where a launcher that was told several processes started one
    memory = {"layout": layout, "window": window, "store": store, "selection": selection}
    if recipe == "memory":
        from eidolon.benchmark.study.training.memory import read_options, train_memory_recipe

        chosen = read_options(memory, seed or 0, order, precision)
        train_memory_recipe(chosen, out, eye, batches, scenes=scenes, stop_at=steps)
        return
    for flag, value in {
        **memory,
        "seed": seed,
        "order": order,
        "precision": precision,
        "eye": eye,
        "batches": batches,
    }.items():
        if value is not None:
            raise UserError(f"--{flag} {value}: is for the recipe memory only; leave it out")
    train_recipe(recipe, out, scenes=scenes, stop_at=steps)
