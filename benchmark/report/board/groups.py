"""Groups of comparable rows, and the columns and cells of a group: what the page and every export share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eidolon.benchmark.report.leaderboard import (
    COMPARED,
    Leaderboard,
    Row,
    columns_of,
    compared_parts,
    data_of,
    is_headline,
    kind_of,
    tables_of,
)
from eidolon.benchmark.verify.comparability import ALLOWED
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import LeaderboardColumn

Column = tuple[str, LeaderboardColumn]
"""The family of a quantity, and how to show it."""

STRICT = COMPARED
"""The parts of the signature that rows of a group share."""
WIDER = tuple(part for part in COMPARED if part in ALLOWED)
"""The parts that `eidolon compare` asks two runs to share. Their decoding, samples and version may differ."""

DESCRIBED = ("objects", "chair")
"""Families of descriptions. Their rates need the two numbers next to them that are low for a silent model."""
RECALLS = (("objects", "recall"), ("chair", "recall"))
WORDS = ("chair", "words")
WITHHELD = "the run has warnings, so that its headline says little"


@dataclass(frozen=True, slots=True)
class Group:
    """Comparable rows, best first."""

    title: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]

    def shared(self) -> dict[str, str]:
        """Return the parts of the signature, by name, that all rows share."""
        parts = [row.parts.parts() for row in self.rows]
        return {name: text for name, text in parts[0].items() if all(one.get(name) == text for one in parts)}


def groups_of(leaderboard: Leaderboard, by: Sequence[str] = STRICT) -> list[Group]:
    """Return the rows in groups that share the parts `by` of their signatures, in the order of the tables."""
    found = []
    for table in tables_of(leaderboard.rows):
        alike: dict[tuple[str, ...], list[Row]] = {}
        for row in table:
            parts = compared_parts(row)
            alike.setdefault(tuple(parts[part] for part in by), []).append(row)
        found += [
            Group(f"{kind_of(table)} on {data_of(table[0])}", tuple(rows), tuple(board_columns(rows)))
            for rows in alike.values()
        ]
    return found


def board_columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of rows of one table. Recall and length follow the first rate of descriptions."""
    found = columns_of(rows)
    first = next((place for place, (family, _) in enumerate(found) if family in DESCRIBED), None)
    if first is None:
        return found
    beside = list(_beside(found, rows))
    rest = [column for column in found[first + 1 :] if column not in beside]
    return [*(column for column in found[: first + 1] if column not in beside), *beside, *rest]


def _beside(found: Sequence[Column], rows: Sequence[Row]) -> Iterator[Column]:
    def known(family: str, quantity: str) -> bool:
        return any(quantity in row.metrics.get(family, {}) for row in rows)

    declared = {(family, column.quantity): column for family, column in found}
    recall = next((key for key in RECALLS if known(*key)), None)
    if recall is not None:
        yield recall[0], declared.get(recall) or LeaderboardColumn(recall[1], "recall ↑")
    if known(*WORDS):
        words = LeaderboardColumn(WORDS[1], "words", decimals=".1f", interval=False)
        yield WORDS[0], declared.get(WORDS) or words


def estimate_of(row: Row, column: Column) -> Estimate | None:
    """Return the number of a row in a column, None if it was not measured.

    The headline of a run with warnings is undefined, with the reason.
    """
    family, shown = column
    estimate = row.metrics.get(family, {}).get(shown.quantity)
    if estimate is not None and row.warnings and is_headline(row, family, shown.quantity):
        return estimate.model_copy(update={"value": None, "ci": None, "reason": WITHHELD})
    return estimate


def number_text(row: Row, column: Column) -> str:
    """Return a number as the table shows it, empty if there is none; with where it was measured if that varies."""
    family, shown = column
    estimate = estimate_of(row, column)
    if estimate is None or estimate.value is None:
        return ""
    at = row.metrics[family].get(shown.at or "")
    place = "" if at is None or at.value is None else f" at {at.value:.0f}"
    return f"{estimate.value:{shown.decimals}}{place}"


def bounds_text(row: Row, column: Column) -> tuple[str, str] | None:
    """Return the bounds of the interval as the table shows them, None if it shows none."""
    estimate = estimate_of(row, column)
    if estimate is None or estimate.value is None or estimate.ci is None or not column[1].interval:
        return None
    low, high = estimate.ci
    return f"{low:{column[1].decimals}}", f"{high:{column[1].decimals}}"


def heading(column: Column) -> tuple[str, bool | None]:
    """Return the heading of a column in one line without its arrow, and whether higher is better."""
    words = column[1].heading.split()
    better = {"↑": True, "↓": False}.get(words[-1] if words else "")
    return " ".join(word for word in words if word not in ("↑", "↓")), better
