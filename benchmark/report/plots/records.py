"""What the figures are made from, and the error that says why one cannot be drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from eidolon.benchmark.drawing.style import Sheet, short
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing: TypeAlias = "Callable[[Sheet], Figure]"
"""Draws a figure for a width."""


class NotDrawnError(UserError):
    """A figure cannot be drawn from this run; the message is the reason."""


@dataclass(frozen=True, slots=True)
class PlottedRun:
    """A run under a name that no other run of the command has."""

    run: LoadedRun
    name: str
    folder: str
    """The name of its folder among the figures of several runs."""


def named(runs: Sequence[LoadedRun]) -> list[PlottedRun]:
    """Return the runs, those of the same name with their folders' names, or numbers where these are the same too."""
    names = [run.name for run in runs]
    full = [
        run.name if names.count(run.name) == 1 else f"{run.name} ({run.path.resolve().name})" for run in runs
    ]
    folders = [run.path.resolve().name for run in runs]
    return [
        PlottedRun(
            run,
            short(name if full.count(name) == 1 else f"{name} {place}"),
            folder if folders.count(folder) == 1 else f"{folder}-{place}",
        )
        for place, (run, name, folder) in enumerate(zip(runs, full, folders, strict=True), 1)
    ]
