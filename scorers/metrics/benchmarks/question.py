"""A question of a published benchmark, its answer as it was read, and what a benchmark offers to the tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity
from eidolon.scorers.core.types import ImageId

COMPAT, FIXED = "compat", "fixed"
MODES = (COMPAT, FIXED)
"""As the released program reads answers, and by whole words."""


@dataclass(frozen=True, slots=True)
class BenchmarkQuestion:
    """A question with its true answer."""

    question_id: str
    cluster: ImageId
    """What intervals resample: the image, or a set of images that are scored together."""
    text: str
    truth: str
    groups: Mapping[str, str] = field(default_factory=dict)
    """What the metric splits or groups the questions by, by name."""
    image: str | None = None
    """The file of the image below the benchmark's folder; None for a question without one."""
    contents: tuple[str, ...] = ()
    """Names of some things in the image, for a judge that rates the answer."""


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """What was read in the answer to a question; None where nothing was."""

    question_id: str
    cluster: ImageId
    truth: str
    read: str | None
    groups: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    """Whether the answer is the true one to the letter."""


class QuestionBenchmark(Protocol):
    """Reads answers, and maps what was read to numbers. Its statistics of a row may depend on the rows beside it."""

    family: str
    quantities: tuple[Quantity, ...]
    columns: tuple[str, ...]
    leaderboard_columns: tuple[LeaderboardColumn, ...]
    mode: str

    def read(self, question: BenchmarkQuestion, answer: str) -> str | None:
        """Return what the answer says, in the words of `truth`; None where that cannot be read."""
        ...

    def statistics(self, samples: Sequence[ReadAnswer]) -> FloatArray:
        """Return sufficient statistics, shape (samples, k), additive over clusters."""
        ...

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., k) to the quantities, shape (...)."""
        ...


def check_mode(mode: str) -> str:
    """Return the mode.

    Raises:
        UserError: no mode has this name.
    """
    if mode not in MODES:
        raise UserError(f"--mode {mode}: unknown mode{did_you_mean(mode, MODES)}")
    return mode
