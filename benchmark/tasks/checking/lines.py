"""Comparisons of the lines of a file, and the words for what differs."""

from collections.abc import Sequence
from typing import TypeVar

from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.rows import AnswerRow, BenchmarkRow, WordRow
from eidolon.scorers.core.input_files import excerpt

RowT = TypeVar("RowT", AnswerRow, BenchmarkRow, WordRow)


def check_order(found: Sequence[object], wanted: Sequence[object], name: str) -> None:
    """Compare the keys of a file's lines, sample ids or (sample id, generation), with those that the run has.

    Raises:
        DifferenceError: another order, or another number of lines.
    """
    for number, (here, there) in enumerate(zip(found, wanted, strict=False), 1):
        if here != there:
            raise DifferenceError(f"{name}:{number}: holds {_told(here)} where the run has {_told(there)}")
    if len(found) != len(wanted):
        raise DifferenceError(f"{name}: holds {len(found)} lines where the run has {len(wanted)}")


def check_row(there: RowT, here: RowT, name: str) -> None:
    """Compare a line with the one that follows from the response.

    Raises:
        DifferenceError: they differ; the message names the first field.
    """
    if there != here:
        fields = (field for field in type(here).model_fields if getattr(here, field) != getattr(there, field))
        field = next(fields)
        raise DifferenceError(
            f"{name}: sample {excerpt(there.sample_id)}: {field} is {excerpt(getattr(there, field))} there and "
            f"{excerpt(getattr(here, field))} from the response"
        )


def _told(key: object) -> str:
    if isinstance(key, tuple):
        return f"sample {excerpt(key[0])}" + (f" (generation {key[1]})" if key[1] else "")
    return f"sample {excerpt(key)}"
