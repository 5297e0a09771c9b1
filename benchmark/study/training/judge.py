"""Trains a judge from a recipe."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from eidolon.benchmark.engine.launch import is_follower
from eidolon.benchmark.scenes.judge_training import JudgeRecipe
from eidolon.benchmark.study.training.session import CHECKPOINT, identity, is_finished, show_progress


def train_judge(recipe: JudgeRecipe, out: Path, scenes: int, stop_at: int | None) -> None:
    """Train the judge of a recipe in the folder `out`; when it is finished, evaluate it and write its card."""
    from eidolon.benchmark.scenes.judge_training import batch_samples, tokenizer_texts
    from eidolon.benchmark.study.machine import describe_machine
    from eidolon.benchmark.study.training.card import write_judge_card
    from eidolon.benchmark.study.training.judge_evaluation import evaluate_judge
    from eidolon.models.backends.text_models import language_models
    from eidolon.models.training.loop import train_loop
    from eidolon.models.training.t5 import QuestionTrainee, collate, make_t5, make_tokenizer

    console = Console(stderr=True, quiet=is_follower())
    tokenizer = make_tokenizer(tokenizer_texts(data_seed=recipe.data_seed), recipe.architecture.vocabulary)
    model = make_t5(recipe.architecture, tokenizer, recipe.training.seed)
    samples = batch_samples(recipe)
    with show_progress(recipe.name, recipe.training.steps, console) as show:
        report = train_loop(
            QuestionTrainee(model),
            lambda step, rank, world: collate(tokenizer, samples(step)[rank::world]),
            recipe.training,
            out,
            arguments=lambda step: (recipe.training.claims_weight, recipe.training.evidence_weight),
            reported="answer",
            stop_at=stop_at,
            on_step=show,
            identity=identity(recipe),
        )
    if not is_finished(report, recipe.training.steps, console):
        return
    folder = out / CHECKPOINT
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    console.print(f"evaluating on {scenes} scenes")
    (judge,) = language_models(f"transformers/{folder.resolve()}", {})
    evaluation = evaluate_judge(judge, n=scenes)
    report = replace(report, parameters=sum(p.numel() for p in model.parameters()))
    write_judge_card(folder, recipe, report, evaluation, describe_machine())
    accuracy = evaluation.descriptions
    console.print(f"{folder}: recall {accuracy.recall}, specificity {accuracy.specificity}")
