"""The data of the page of a leaderboard: links, groups, and numbers as the runs have them."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urljoin

import pytest

from eidolon.benchmark import json_schemas
from eidolon.benchmark.report.board.export import write_files
from eidolon.benchmark.report.board.page import board_view, report_of
from eidolon.benchmark.report.board.records import BoardView
from eidolon.benchmark.report.leaderboard import SCHEMA, Leaderboard
from tests.benchmark.report.board.boards import estimate, made_board, made_row

ROOT = Path(__file__).parents[4]
HOSTILE = ("javascript:alert(1)", "data:text,x", "a b?c#d%41", "https:", '"><img src=x>', "..", "é", "\udcff")


def data_of(page: Path) -> BoardView:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return BoardView.model_validate_json(found)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_link_is_a_relative_path_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    run = tmp_path / "runs" / name / "run"
    run.mkdir(parents=True)
    link, opens = report_of(run, tmp_path)
    assert (link is not None, opens) == (True, "folder")
    assert link is not None
    assert re.fullmatch(r"\.{1,2}/[A-Za-z0-9_.~/%-]*", link)
    (run / "report.html").touch()
    assert report_of(run, tmp_path)[1] == "report"
    (run / "view").mkdir()
    (run / "view" / "index.html").touch()
    link, opens = report_of(run, tmp_path)
    assert opens == "page"
    assert link is not None
    found = urljoin("file:///base/board.html", link)
    assert unquote(found, errors="surrogateescape").startswith("file:///base/")


def test_a_run_elsewhere_is_reached_from_the_page(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    assert report_of(tmp_path / "there", tmp_path / "here") == ("../there", "folder")
    assert report_of(tmp_path / "nowhere", tmp_path / "here") == (None, None)
    board = Leaderboard(schema=SCHEMA, rows=(made_row(1, run="there"),))
    for base, link in ((tmp_path, "../there"), (None, None)):
        assert [row.link for row in board_view(board, base, tmp_path / "here").rows] == [link]


def test_rows_have_their_groups_numbers_and_texts(tmp_path: Path) -> None:
    board = made_board(60)
    view = board_view(board, tmp_path, tmp_path)
    assert len(view.rows) == 60
    for by, number in ((view.strict, "group"), (view.compared, "wider")):
        pairs = {(getattr(row, number), tuple(row.parts[part] for part in by)) for row in view.rows}
        assert len(pairs) == len({key for _, key in pairs}) == len({group for group, _ in pairs})
    made = {row.run: row for row in board.rows}
    for row in view.rows:
        for key, cell in row.cells.items():
            family, _, quantity = key.partition(".")
            exact = made[row.run].metrics[family][quantity]
            if key == "objects.f05" and row.warnings:
                assert (cell.value, cell.text) == (None, "")
                assert cell.reason is not None
                continue
            assert cell.value == exact.value
            assert float(cell.text) == pytest.approx(exact.value, abs=0.051 if "words" in key else 0.00051)
    assert view.tables[0].headline == "objects.f05"
    labels = [(column.label, column.higher_is_better, column.interval) for column in view.tables[0].columns]
    assert labels == [
        ("F0.5", True, True), ("recall", True, True), ("words", None, False), ("CHAIR_i", False, True),
        ("CHAIR_s", False, True),
    ]  # fmt: skip


def test_a_board_that_forgets_has_its_columns_in_one_line(tmp_path: Path) -> None:
    values = {
        "retention_filler_128": estimate(-1.5),
        "retention_own_longest": estimate(0.75),
        "retention_own_longest_tokens": estimate(64),
        "adjusted_odds_ratio_per_100_words": estimate(15.0, 10, better=False),
    }
    board = Leaderboard(schema=SCHEMA, rows=(made_row(1, metrics={"forgetting": values}, task="forget"),))
    (table,) = board_view(board, tmp_path, tmp_path).tables
    assert [(column.label, column.logarithmic) for column in table.columns] == [
        ("kept after 128 filler", False), ("kept after own text", False), ("late-early odds ratio", True),
    ]  # fmt: skip
    (row,) = board_view(board, tmp_path, tmp_path).rows
    assert row.cells["forgetting.retention_own_longest"].text == "0.75 at 64"
    assert table.headline == "forgetting.retention_filler_128"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_page_holds_the_data_of_its_schema(tmp_path: Path, count: int) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    page = tmp_path / "deep" / "board.html"
    write_files(made_board(count), tmp_path, {"--html": page})
    view = data_of(page)
    assert (view.kind, view.schema_, len(view.rows)) == ("leaderboard", "eidolon/view/1", count)
    jsonschema.validate(
        json.loads(view.model_dump_json(by_alias=True)), json_schemas.read("view_leaderboard")
    )


def test_the_committed_page_has_the_numbers_of_the_committed_leaderboard() -> None:
    board = json.loads((ROOT / "results" / "leaderboard.json").read_text())
    view = data_of(ROOT / "results" / "leaderboard.html")
    assert [row.name for row in view.rows] == [row["name"] for row in board["rows"]]
    for shown, row in zip(view.rows, board["rows"], strict=True):
        assert shown.signature == row["signature"]
        assert shown.cells["objects.f05"].value == row["metrics"]["objects"]["f05"]["value"]
