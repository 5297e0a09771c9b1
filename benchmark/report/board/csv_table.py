"""The leaderboard as CSV: a row for each run, a column for each number and for each bound of its interval.

Numbers are exact, not rounded. A text that a spreadsheet would run as a formula gets an apostrophe in front, as OWASP's
page "CSV Injection" recommends.
"""

import csv
import io
from collections.abc import Iterator

from eidolon.benchmark.report.board.groups import groups_of
from eidolon.benchmark.report.leaderboard import Leaderboard, Row, dataset_of
from eidolon.benchmark.terminal.safe_text import one_line

FORMULA = tuple("=+-@＝＋－＠")  # noqa: RUF001
"""The characters that begin a formula, also in full width."""
HEAD = ("group", "model", "task", "dataset")
COUNTS = ("requested", "scored", "unscored")
TAIL = ("doctor", "doctor_failed", "warnings", "run", "signature")


def csv_text(leaderboard: Leaderboard) -> str:
    """Return the file's text. Rows with the same number in the column `group` are comparable."""
    groups = groups_of(leaderboard)
    rows = [row for group in groups for row in group.rows]
    keys = list(dict.fromkeys(key for row in rows for key in _numbers(row)))
    parts = list(dict.fromkeys(part for row in rows for part in row.parts.parts()))
    parts = [part for part in parts if part not in ("dataset", "n")]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(harmless(name) for name in (*HEAD, *COUNTS, *keys, *parts, *TAIL))
    for number, group in enumerate(groups, 1):
        for row in group.rows:
            numbers, of = _numbers(row), row.parts.parts()
            writer.writerow(
                (
                    number,
                    *map(harmless, (row.name, row.task, of.get("dataset", dataset_of(row)))),
                    *(getattr(row.n, name) for name in COUNTS),
                    *(numbers.get(key) for key in keys),
                    *(harmless(of.get(part, "")) for part in parts),
                    row.doctor,
                    *map(
                        harmless,
                        ("; ".join(row.doctor_failed), "; ".join(row.warnings), row.run, row.signature),
                    ),
                )
            )
    return stream.getvalue()


def harmless(text: str) -> str:
    """Return the text on one line, with an apostrophe in front if a spreadsheet would take it for a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(FORMULA) else line


def _numbers(row: Row) -> dict[str, float | None]:
    return dict(_named(row))


def _named(row: Row) -> Iterator[tuple[str, float | None]]:
    for family, quantities in row.metrics.items():
        for name, estimate in quantities.items():
            key = f"{family}.{name}"
            low, high = estimate.ci or (None, None)
            yield key, estimate.value
            yield f"{key}.low", low
            yield f"{key}.high", high
