"""What all trainings share: the folder, the progress bar, and when a training is finished."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
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
