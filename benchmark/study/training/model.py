"""Trains a vision-language model, or a vision encoder alone, from a recipe."""

from pathlib import Path

from rich.console import Console

from eidolon.benchmark.engine.launch import is_follower
from eidolon.benchmark.scenes.dialogue_training import Recipe
from eidolon.benchmark.study.training.session import CHECKPOINT, identity, is_finished, show_progress


def train_model(recipe: Recipe, out: Path, scenes: int, stop_at: int | None) -> None:
    """Train the model of a recipe in the folder `out`; when it is finished, evaluate it and write its card."""
    from eidolon.benchmark.scenes.dialogue_training import CELL_LABELS, tokenizer_texts, training_samples
    from eidolon.benchmark.study.machine import describe_machine
    from eidolon.benchmark.study.training.card import write_card, write_eye_card
    from eidolon.benchmark.study.training.evaluation import evaluate_checkpoint
    from eidolon.models.training.idefics3 import make_model, make_processor, train_tokenizer
    from eidolon.models.training.vl_training import train

    console = Console(stderr=True, quiet=is_follower())
    tokenizer = train_tokenizer(tokenizer_texts(data_seed=recipe.data_seed), recipe.architecture.vocabulary)
    processor = make_processor(recipe.architecture, tokenizer)
    model = make_model(recipe.architecture, tokenizer, recipe.training.seed)
    with show_progress(recipe.name, recipe.training.steps, console) as show:
        report = train(
            model,
            processor,
            training_samples(recipe, recipe.architecture.grid),
            CELL_LABELS,
            recipe.training,
            out,
            stop_at=stop_at,
            on_step=show,
            identity=identity(recipe),
        )
    if not is_finished(report, recipe.training.steps, console):
        return
    folder = out / CHECKPOINT
    is_eye = all(phase.kind == "cells" for phase in recipe.training.phases)
    # The models with this eye are stored in float16. So is the eye: they then get exactly its outputs.
    (model.half() if is_eye else model).save_pretrained(folder)
    processor.save_pretrained(folder)
    if is_eye:
        write_eye_card(folder, recipe, report, describe_machine())
        return
    console.print(f"evaluating on {scenes} scenes")
    evaluation = evaluate_checkpoint(folder, n=scenes)
    write_card(folder, recipe, report, evaluation, describe_machine())
    console.print(f"{folder}: recall {evaluation.recall}, CHAIR_i {evaluation.chair_i}")
