"""Trains an aligner from a recipe."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from eidolon.benchmark.engine.launch import is_follower
from eidolon.benchmark.scenes.aligner_training import AlignerRecipe
from eidolon.benchmark.study.training.session import CHECKPOINT, identity, is_finished, show_progress


def train_aligner(recipe: AlignerRecipe, out: Path, scenes: int, stop_at: int | None) -> None:
    """Train the aligner of a recipe in the folder `out`; when it is finished, evaluate it and write its card."""
    from eidolon.benchmark.scenes.aligner_training import batches
    from eidolon.benchmark.study.machine import describe_machine
    from eidolon.benchmark.study.training.aligner_evaluation import evaluate_aligner
    from eidolon.benchmark.study.training.card import write_aligner_card
    from eidolon.models.aligner.aligner import Aligner, load_aligner
    from eidolon.models.aligner.towers import make_encoder
    from eidolon.models.aligner.training import AlignerTrainee
    from eidolon.models.training.loop import train_loop

    console = Console(stderr=True, quiet=is_follower())
    encoder = make_encoder(recipe.aligner, recipe.training.seed)
    with show_progress(recipe.name, recipe.training.steps, console) as show:
        report = train_loop(
            AlignerTrainee(encoder, recipe.training),
            batches(recipe),
            recipe.training,
            out,
            reported="contrast",
            stop_at=stop_at,
            on_step=show,
            identity=identity(recipe),
        )
    if not is_finished(report, recipe.training.steps, console):
        return
    folder = out / CHECKPOINT
    Aligner(encoder.cpu(), recipe.name).save(folder)
    console.print(f"evaluating on {scenes} scenes")
    evaluation = evaluate_aligner(load_aligner(folder), n=scenes)
    report = replace(report, parameters=sum(p.numel() for p in encoder.parameters()))
    write_aligner_card(folder, recipe, report, evaluation, describe_machine())
    console.print(f"{folder}: precision {evaluation.precision}, recall {evaluation.recall}")
