"""From a recipe to a checkpoint with its card; what `eidolon train` does."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eidolon.benchmark.engine.launch import follows
from eidolon.benchmark.scenes.judges import JUDGE_RECIPES, JudgeRecipe
from eidolon.benchmark.scenes.memory import MemoryRecipe
from eidolon.benchmark.scenes.training import RECIPES, Recipe
from eidolon.scorers.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from eidolon.models.training.loop import TrainingReport

CHECKPOINT = "checkpoint"

OnStep = Callable[[int, dict[str, float]], None]


def find_recipe(name: str) -> Recipe | JudgeRecipe | MemoryRecipe:
    """Return the shipped recipe of a model or a judge by name, or one, also of the memory family, in a JSON file."""
    shipped: dict[str, Recipe | JudgeRecipe] = {**RECIPES, **JUDGE_RECIPES}
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.suffix != ".json":
        raise UserError(f"recipe {name!r}: not known{did_you_mean(name, list(shipped))}")
    try:
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text)
        architecture = fields.get("architecture") if isinstance(fields, dict) else None
        known = architecture if isinstance(architecture, dict) else {}
        kind = JudgeRecipe if "encoder_layers" in known else MemoryRecipe if "memory" in known else Recipe
        return kind.model_validate_json(text)
    except OSError as error:
        raise UserError(f"recipe {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {name}: is no text file") from error
    except json.JSONDecodeError as error:
        raise UserError(f"recipe {name}:{error.lineno}: is not valid JSON ({error.msg})") from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"recipe {name}: {field or 'file'}: {problem['msg']}") from error


def train_recipe(name: str, out: Path, *, scenes: int, stop_at: int | None = None) -> None:
    """Train, evaluate and write the checkpoint into `out/checkpoint`, resuming where an earlier run stopped."""
    recipe = find_recipe(name)
    prepare(out)
    if isinstance(recipe, JudgeRecipe):
        _train_judge(recipe, out, scenes, stop_at)
    elif isinstance(recipe, MemoryRecipe):
        from eidolon.benchmark.scenes.train_memory import train_memory_recipe

        train_memory_recipe(recipe, out, None, None, scenes=scenes, stop_at=stop_at)
    else:
        _train_model(recipe, out, scenes, stop_at)


def prepare(out: Path) -> None:
    """Make the folder of a training, and keep its libraries from talking."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from error

    from transformers.utils import logging

    logging.set_verbosity_error()
    # It reports at every save that tied weights are saved once.
    getLogger("accelerate.utils.other").setLevel(ERROR)
    logging.disable_progress_bar()


def _train_model(recipe: Recipe, out: Path, scenes: int, stop_at: int | None) -> None:
    from eidolon.benchmark.scenes.card import describe_machine, write_card, write_eye_card
    from eidolon.benchmark.scenes.evaluation import evaluate_checkpoint
    from eidolon.benchmark.scenes.training import CELL_LABELS, tokenizer_texts, training_samples
    from eidolon.models.training.idefics3 import make_model, make_processor, train_tokenizer
    from eidolon.models.training.vl_training import train

    console = Console(stderr=True, quiet=follows())
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
    # The models that look through an eye are kept in float16, and so is it: they see exactly what it saw.
    (model.half() if is_eye else model).save_pretrained(folder)
    processor.save_pretrained(folder)
    if is_eye:
        write_eye_card(folder, recipe, report, describe_machine())
        return
    console.print(f"evaluating on {scenes} scenes")
    evaluation = evaluate_checkpoint(folder, n=scenes)
    write_card(folder, recipe, report, evaluation, describe_machine())
    console.print(f"{folder}: recall {evaluation.recall}, CHAIR_i {evaluation.chair_i}")


def _train_judge(recipe: JudgeRecipe, out: Path, scenes: int, stop_at: int | None) -> None:
    from eidolon.benchmark.scenes.card import describe_machine, write_judge_card
    from eidolon.benchmark.scenes.judge_evaluation import evaluate_judge
    from eidolon.benchmark.scenes.judges import batch_samples, tokenizer_texts
    from eidolon.models.backends.text_models import language_models
    from eidolon.models.training.loop import train_loop
    from eidolon.models.training.t5 import Reader, collate, make_t5, make_tokenizer

    console = Console(stderr=True, quiet=follows())
    tokenizer = make_tokenizer(tokenizer_texts(data_seed=recipe.data_seed), recipe.architecture.vocabulary)
    model = make_t5(recipe.architecture, tokenizer, recipe.training.seed)
    samples = batch_samples(recipe)
    with show_progress(recipe.name, recipe.training.steps, console) as show:
        report = train_loop(
            Reader(model),
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
    read = evaluation.descriptions
    console.print(f"{folder}: recall {read.recall}, specificity {read.specificity}")


def identity(recipe: BaseModel) -> dict[str, Any]:
    """Return what of a recipe makes the weights; what it is called does not."""
    return recipe.model_dump(mode="json", exclude={"name"})


@contextmanager
def show_progress(name: str, steps: int, console: Console) -> Iterator[OnStep]:
    """Show a bar with the losses; yields what is to be told after every step."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[losses]}"), console=console) as progress:
        task = progress.add_task(f"train {name}", total=steps, losses="")

        def show(step: int, losses: dict[str, float]) -> None:
            told = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
            progress.update(task, completed=step, losses=told)

        yield show


def is_finished(report: "TrainingReport", steps: int, console: Console) -> bool:
    """Tell whether it is time to write the checkpoint, and whether this process is to do it."""
    if report.steps < steps:
        console.print(f"stopped after {report.steps} of {steps} steps; the same command goes on")
    return report.steps >= steps and report.is_main_process
