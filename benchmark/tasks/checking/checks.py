"""`TaskChecks`: what only a task knows of its run folders, for `eidolon check`.

`check` reads the folder, looks at what all runs share, and asks the task for the rest. A method returns a line that
says what was found. It raises `DifferenceError` for what is not as the folder says, and `UncheckableError` for what
cannot be checked here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel

from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.tasks.checking.problems import UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedConfig, CheckedRun
from eidolon.scorers.core.scores import Scores

TOTALS, VALUES, INTERVALS, COUNTS, VARIANTS = "totals", "scores", "intervals", "counts", "variants"
PARTS_OF_SCORES = (TOTALS, VALUES, INTERVALS, COUNTS, VARIANTS)
"""The checks into which a difference between two scores files falls."""

Options = Mapping[str, str]
"""Options of the run's judge that the user gave."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file that a task keeps in its run folders."""

    name: str
    """A name that ends with `.jsonl` has a record on each line; another is one JSON document."""
    record: type[BaseModel]
    """The form of a line, or of the document."""
    required: bool = True
    """Whether every finished run has it."""


@dataclass(frozen=True, slots=True)
class NamedDataset:
    """A dataset that the user has here, to compare with."""

    name: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Scores made again here, and what of them could not be."""

    scores: Scores
    unknown: Mapping[str, str]
    """By check, why it is unknown here."""
    rebuilt: Mapping[str, str]
    """The parts of the signature that follow from the files and the configuration."""


class TaskChecks:
    """The checks of a task whose runs cannot be computed again. Tasks override what they know more about."""

    batch_size: ClassVar[int | None] = None
    """Responses in a batch, where the task fixes it."""

    def check_settings(self, config: CheckedConfig) -> None:
        """Check the settings that only this task takes.

        Raises:
            UserError: one of them is wrong.
        """

    def keys(self, run: CheckedRun) -> list[Key]:
        """Return (sample id, generation) of every response that the run should have."""
        generations = range(run.settings.generations)
        return [(sample_id, generation) for sample_id in run.record.sample_ids for generation in generations]

    def verdicts_follow(self, run: CheckedRun) -> bool | None:
        """Tell whether verdicts follow from the true objects alone. None if the judge is not installed here."""
        return False

    def judge(self, run: CheckedRun, options: Options | None) -> str:
        """Judge the responses again, and compare mention by mention."""
        raise UncheckableError("runs of this kind hold answers that were read, not judged")

    def answers(self, run: CheckedRun) -> str:
        """Read the answers again, and compare with what was read."""
        raise UncheckableError("runs of this kind hold no answers to questions")

    def measurements(self, run: CheckedRun) -> Mapping[str, Callable[[], str]]:
        """Return checks of what this task alone measures, by name."""
        return {}

    def rescore(self, run: CheckedRun, options: Options | None) -> Recomputed:
        """Compute the scores again."""
        raise UncheckableError("the task does not say how its scores are computed again")

    def curves(self, run: CheckedRun, options: Options | None) -> str:
        """Compute the details of the metric `forgetting` again, and compare."""
        return "nothing was asked about forgetting"

    def truth(self, run: CheckedRun, given: NamedDataset | None) -> str:
        """Compare objects and pictures with the dataset that the run names, or with one that the user has."""
        raise UncheckableError("the truth came from files that the folder does not hold")
