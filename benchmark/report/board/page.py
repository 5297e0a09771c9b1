"""The page of a leaderboard: one HTML file, with the front end of `eidolon view`."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from eidolon.benchmark.report.board.groups import (
    STRICT,
    WIDER,
    Column,
    board_columns,
    bounds_text,
    estimate_of,
    groups_of,
    heading,
    number_text,
)
from eidolon.benchmark.report.board.records import (
    BoardCell,
    BoardColumn,
    BoardRow,
    BoardTable,
    BoardView,
    Opens,
)
from eidolon.benchmark.report.leaderboard import (
    HEADLINES,
    Leaderboard,
    Row,
    compared_parts,
    data_of,
    dataset_of,
    kind_of,
    tables_of,
)
from eidolon.benchmark.report.view.document import render
from eidolon.benchmark.report.view.summary import is_share
from eidolon.benchmark.store.files import REPORT
from eidolon.scorers.core.distribution import package_version

VIEW = ("view", "index.html")
"""Where `eidolon view` writes the page of a run."""
LOGARITHMIC = "odds_ratio"
"""Part of the names of quantities that are ratios."""


def page_text(leaderboard: Leaderboard, base: Path | None, folder: Path) -> str:
    """Return the HTML of a page.

    Args:
        leaderboard: The rows.
        base: The folder that the rows' `run` is relative to. None leaves out the links to reports.
        folder: The folder that the page lies in.
    """
    return render(board_view(leaderboard, base, folder), "Leaderboard")


def board_view(leaderboard: Leaderboard, base: Path | None, folder: Path) -> BoardView:
    """Return the data of the page."""
    groups, wider = (_numbered(leaderboard, by) for by in (STRICT, WIDER))
    tables, rows = [], []
    annotated = any(row.parts.truth is not None for row in leaderboard.rows)
    strict, compared = (
        tuple(part for part in parts if annotated or part != "truth") for parts in (STRICT, WIDER)
    )
    for number, found in enumerate(tables_of(leaderboard.rows)):
        columns = board_columns(found)
        keys = [key_of(column) for column in columns]
        headline = HEADLINES[found[0].task]
        tables.append(
            BoardTable(
                title=f"{kind_of(found)} on {data_of(found[0])}",
                headline=headline if headline in keys or not keys else keys[0],
                columns=tuple(_column(column, found) for column in columns),
            )
        )
        for row in found:
            link, opens = (None, None) if base is None else report_of(base / row.run, folder)
            rows.append(
                BoardRow(
                    name=row.name,
                    run=row.run,
                    link=link,
                    opens=opens,
                    task=row.task,
                    dataset=dataset_of(row),
                    table=number,
                    group=groups[id(row)],
                    wider=wider[id(row)],
                    n=row.n,
                    parts=row.parts.parts() | ({"truth": compared_parts(row)["truth"]} if annotated else {}),
                    signature=row.signature,
                    cells=_cells(row, columns),
                    warnings=row.warnings,
                    doctor=row.doctor,
                    doctor_failed=row.doctor_failed,
                )
            )
    return BoardView(
        eidolon=package_version(), strict=strict, compared=compared, tables=tuple(tables), rows=tuple(rows)
    )


def report_of(run: Path, folder: Path) -> tuple[str, Opens] | tuple[None, None]:
    """Return the address of a run's report from a folder, and what it opens. Both are None if there is no folder.

    The address is a relative path with every other character percent-encoded, so that no name of a folder makes it
    an address of another kind.
    """
    places: tuple[tuple[Opens, Path], ...] = (
        ("page", run.joinpath(*VIEW)),
        ("report", run / REPORT),
        ("folder", run),
    )
    for opens, target in places:
        if (os.path.isdir if opens == "folder" else os.path.isfile)(target):
            path = os.path.relpath(os.path.abspath(target), os.path.abspath(folder))
            address = quote(os.fsencode(path))
            return (address if address.startswith("../") else f"./{address}"), opens
    return None, None


def key_of(column: Column) -> str:
    """Return family and quantity."""
    return f"{column[0]}.{column[1].quantity}"


def _numbered(leaderboard: Leaderboard, by: Sequence[str]) -> dict[int, int]:
    """Return the number of each row's group, by the identity of the row."""
    groups = groups_of(leaderboard, by)
    return {id(row): number for number, group in enumerate(groups) for row in group.rows}


def _column(column: Column, rows: Sequence[Row]) -> BoardColumn:
    label, better = heading(column)
    found = (estimate_of(row, column) for row in rows)
    known = next((one.higher_is_better for one in found if one is not None), None)
    return BoardColumn(
        key=key_of(column),
        label=label,
        higher_is_better=known if better is None else better,
        interval=column[1].interval,
        logarithmic=not is_share(key_of(column)) and LOGARITHMIC in column[1].quantity,
    )


def _cells(row: Row, columns: Sequence[Column]) -> dict[str, BoardCell]:
    cells = {}
    for column in columns:
        if (estimate := estimate_of(row, column)) is not None:
            bounds = bounds_text(row, column)
            cells[key_of(column)] = BoardCell(
                value=estimate.value,
                ci=estimate.ci if column[1].interval and estimate.value is not None else None,
                text=number_text(row, column),
                interval=None if bounds is None else " to ".join(bounds),
                reason=estimate.reason,
            )
    return cells
