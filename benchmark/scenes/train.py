"""From a recipe to a checkpoint with its card; what `eidolon train` does."""

from logging import ERROR, getLogger
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eidolon.benchmark.scenes.training import CELL_LABELS, RECIPES, Recipe, tokenizer_texts, training_samples
from eidolon.scorers.errors import UserError, did_you_mean

CHECKPOINT = "checkpoint"


def find_recipe(name: str) -> Recipe:
    """Return a shipped recipe by name, or the one in a JSON file."""
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if path.suffix != ".json":
        raise UserError(f"recipe {name!r}: not known{did_you_mean(name, list(RECIPES))}")
    try:
        return Recipe.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"recipe {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {name}: is no text file") from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"recipe {name}: {field or 'file'}: {problem['msg']}") from error


def train_recipe(name: str, out: Path, *, scenes: int, stop_at: int | None = None) -> None:
    """Train, evaluate and write the checkpoint into `out/checkpoint`, resuming where an earlier run stopped."""
    recipe = find_recipe(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from error

    from transformers.utils import logging

    from eidolon.benchmark.scenes.card import describe_machine, write_card
    from eidolon.benchmark.scenes.evaluation import evaluate_checkpoint
    from eidolon.models.idefics3 import make_model, make_processor, train_tokenizer
    from eidolon.models.training import train

    logging.set_verbosity_error()
    # It reports at every save that tied weights are saved once.
    getLogger("accelerate.utils.other").setLevel(ERROR)
    logging.disable_progress_bar()
    console = Console(stderr=True)
    tokenizer = train_tokenizer(tokenizer_texts(data_seed=recipe.data_seed), recipe.architecture.vocabulary)
    processor = make_processor(recipe.architecture, tokenizer)
    model = make_model(recipe.architecture, tokenizer, recipe.training.seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[losses]}"), console=console) as progress:
        task = progress.add_task(f"train {recipe.name}", total=recipe.training.steps, losses="")

        def show(step: int, losses: dict[str, float]) -> None:
            told = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
            progress.update(task, completed=step, losses=told)

        report = train(
            model,
            processor,
            training_samples(recipe),
            CELL_LABELS,
            recipe.training,
            out,
            stop_at=stop_at,
            on_step=show,
        )
    if report.steps < recipe.training.steps:
        console.print(
            f"stopped after {report.steps} of {recipe.training.steps} steps; the same command goes on"
        )
        return
    if not report.is_main_process:
        return
    folder = out / CHECKPOINT
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    console.print(f"evaluating on {scenes} scenes")
    evaluation = evaluate_checkpoint(folder, n=scenes)
    write_card(folder, recipe, report, evaluation, describe_machine())
    console.print(f"{folder}: recall {evaluation.recall}, CHAIR_i {evaluation.chair_i}")
