"""What all trainings share: the folder, the progress bar, and when a training is finished."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from eidolon.models.training.loop import TrainingReport

CHECKPOINT = "checkpoint"
"""The folder of the finished model, in the folder of the training."""

OnStep = Callable[[int, dict[str, float]], None]


def prepare(out: Path) -> None:
    """Make the folder of a training and silence the libraries. Raises UserError if the folder cannot be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from error

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def identity(recipe: BaseModel) -> dict[str, Any]:
    """Return the parts of a recipe that determine the weights: everything except its name."""
    return recipe.model_dump(mode="json", exclude={"name"})


@contextmanager
def show_progress(name: str, steps: int, console: Console) -> Iterator[OnStep]:
    """Show a progress bar with the losses. Yields the function to call after every step."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[losses]}"), console=console) as progress:
        task = progress.add_task(f"train {name}", total=steps, losses="")

        def show(step: int, losses: dict[str, float]) -> None:
            shown = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
            progress.update(task, completed=step, losses=shown)

        yield show


def is_finished(report: "TrainingReport", steps: int, console: Console) -> bool:
    """Whether the training is finished and this process writes the checkpoint. Prints a note if it stopped early."""
    if report.steps < steps:
        console.print(f"stopped after {report.steps} of {steps} steps; the same command continues")
    return report.steps >= steps and report.is_main_process
