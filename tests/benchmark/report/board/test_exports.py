"""The exports of a leaderboard, read back by other programs where there are any; hostile texts among the names."""

import csv
import io
import re
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from eidolon.benchmark.report.board.csv_table import csv_text, harmless
from eidolon.benchmark.report.board.groups import STRICT, WIDER, board_columns, groups_of
from eidolon.benchmark.report.board.hub import Benchmark, write_results
from eidolon.benchmark.report.board.latex import ESCAPES, latex_text
from eidolon.benchmark.report.board.latex import escaped as latex_escaped
from eidolon.benchmark.report.board.markdown import escaped as markdown_escaped
from eidolon.benchmark.report.board.markdown import markdown_text
from eidolon.benchmark.report.leaderboard import SCHEMA, Leaderboard
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.signature import Signature
from tests.benchmark.conftest import OBJECTS, RESPONSES, Cli, write_lines
from tests.benchmark.report.board.boards import estimate, made_board, made_row

NAMES = (
    "=HYPERLINK(\"http://example.org\")",
    "+1+cmd|' /C calc'!A0",
    "@SUM(1)",
    "-2+3",
    "\t=1",
    "a|b",
    "`code` *bold* _it_ ~~gone~~ $x$ ![p](q) [l](javascript:x) <b>&amp;",
    "https://example.org www.example.org a@example.org",
    r"\input{secret} 100 % of #1 & {x}_y^z ~ \\",
    "[0.5ex] --- ``quoted'' \"q\" *",
    "line\nbreak \x1b[31m \u202e",
    "日本 — ü",
)  # fmt: skip


def board(*rows: object) -> Leaderboard:
    return Leaderboard.model_construct(schema_=SCHEMA, rows=rows)


@pytest.fixture
def hostile() -> Leaderboard:
    return board(*(made_row(index * 12 + 1, name=name) for index, name in enumerate(NAMES)))


def test_groups_share_what_they_say() -> None:
    found = made_board(60)
    for by in (STRICT, WIDER):
        groups = groups_of(found, by)
        assert sum(len(group.rows) for group in groups) == 60
        keys = [{tuple(row.parts.parts().get(part) for part in by) for row in group.rows} for group in groups]
        assert all(len(one) == 1 for one in keys)
        assert len(set.union(*keys)) == len(groups)
        assert all({*by} - {"truth"} <= group.shared().keys() for group in groups)
    assert set(STRICT) - set(WIDER) == {"truth", "decoding", "n", "eidolon"}


def test_recall_and_length_stand_beside_the_rate() -> None:
    keys = [f"{family}.{column.quantity}" for family, column in board_columns([made_row(1)])]
    assert keys == ["objects.f05", "objects.recall", "chair.words", "chair.chair_i", "chair.chair_s"]
    chair = {"chair": {name: estimate(0.5) for name in ("chair_i", "chair_s", "recall", "words")}}
    keys = [f"{family}.{column.quantity}" for family, column in board_columns([made_row(1, metrics=chair)])]
    assert keys == ["chair.chair_i", "chair.recall", "chair.words", "chair.chair_s"]
    probe = {"pope": {name: estimate(0.5) for name in ("accuracy", "recall")}}
    keys = [f"{f}.{c.quantity}" for f, c in board_columns([made_row(1, metrics=probe, task="probe")])]
    assert keys == ["pope.accuracy", "pope.recall"]


def test_csv_has_every_number_exactly_and_no_formula(hostile: Leaderboard) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(hostile))))
    assert len(rows) == len(NAMES)
    by_run = {row["run"]: row for row in rows}
    for made in hostile.rows:
        row = by_run[made.run]
        assert float(row["objects.f05"]) == made.metrics["objects"]["f05"].value
        assert (float(row["chair.words.low"]), float(row["chair.words.high"])) == made.metrics["chair"][
            "words"
        ].ci
        assert row["model"].removeprefix("'") == one_line(made.name).removeprefix("'")
        assert row["judge"] == made.parts.judge
    for row in rows:
        for name, text in row.items():
            assert text is not None
            assert text[:1] not in ("=", "+", "@"), name
            assert text[:1] != "-" or float(text) < 0
    assert None not in rows[0]


def test_numbers_of_csv_may_be_negative_and_undefined() -> None:
    metrics = {"forgetting": {"pdm": estimate(-0.5), "kept": estimate(None)}}
    (row,) = csv.DictReader(io.StringIO(csv_text(board(made_row(1, metrics=metrics)))))
    assert (row["forgetting.pdm"], row["forgetting.kept"], row["forgetting.kept.low"]) == ("-0.5", "", "")
    assert harmless("-0.5") == "'-0.5"


def cells(text: str) -> list[list[str]]:
    """Return the text of every cell of the tables, as a reader of Markdown shows it."""
    rows: list[list[str]] = []
    inside = False
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "tr_open":
            rows.append([])
        inside = token.type in ("td_open", "th_open") or (inside and token.type == "inline")
        if inside and token.type == "inline":
            rows[-1].append(plain(token))
    return rows


def plain(token: Token) -> str:
    kinds = {child.type for child in token.children or ()}
    assert kinds <= {"text", "text_special"}, kinds
    return "".join(child.content for child in token.children or ())


def test_markdown_shows_the_texts_and_nothing_else(hostile: Leaderboard) -> None:
    found = cells(markdown_text(hostile))
    names = {row[0] for row in found}
    assert {one_line(name) for name in NAMES} <= names
    assert len({len(row) for row in found}) == 1
    first = next(row for row in found if row[0] != "model")
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", first[2])


@pytest.mark.parametrize("name", NAMES)
def test_markdown_makes_no_link_of_an_address(name: str) -> None:
    shown = markdown_escaped(name)
    assert not re.search(r"(https?:|www\.|[^\\]@)", shown.removeprefix("\\@"), re.IGNORECASE)


def test_latex_has_one_row_for_each_run_with_as_many_cells_as_columns(hostile: Leaderboard) -> None:
    text = latex_text(hostile)
    for table in text.split(r"\begin{table}")[1:]:
        columns = re.search(r"\\begin\{tabular\}\{(l\w*)\}", table)
        assert columns is not None
        body = table.split(r"\toprule")[1].split(r"\bottomrule")[0].replace("\\midrule\n", "")
        rows = [line for line in body.splitlines() if line]
        assert all(line.endswith(r" \\") for line in rows)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {len(columns[1]) - 1}
        assert not any(line.lstrip().startswith(("[", "*")) for line in rows)
    assert text.count(r"\midrule") == text.count(r"\toprule") == len(groups_of(hostile))
    assert r"CHAIR$_{i}$ $\downarrow$" in text


@pytest.mark.parametrize("name", NAMES)
def test_latex_prints_the_text_again(name: str) -> None:
    """A naive reader of the escapes gives the text back, and meets no other command."""
    shown, found = latex_escaped(name), ""
    for doubled in ("--", "''", "``"):
        assert doubled not in shown
    back = {command: character for character, command in ESCAPES.items()}
    while shown:
        if shown.startswith("{}"):
            shown = shown[2:]
            continue
        command = next(
            (one for one in sorted(back, key=len, reverse=True) if shown.startswith(one)), shown[0]
        )
        assert command in back or command not in "\\{}$&#%_^~"
        found += back.get(command, command)
        shown = shown[len(command) :]
    assert found == one_line(name)


def test_the_hub_reads_its_files(tmp_path: Path) -> None:
    rows = [made_row(1), made_row(1 + 12), made_row(16 * 17 - 1 + 17, name="../../etc/warned")]
    rows = [row.model_copy(update={"parts": rows[0].parts}) for row in rows]
    rows[1] = rows[1].model_copy(update={"name": rows[0].name, "run": "elsewhere/model-0001"})
    written, left_out = write_results(board(*rows), tmp_path / "hub", Benchmark("org/bench", "scenes"))
    assert [path.relative_to(tmp_path / "hub").as_posix() for path in written] == [
        "model-0001/.eval_results/model-0001.yaml",
        "model-0001/.eval_results/model-0001-2.yaml",
    ]
    assert len(left_out) == 1
    assert "warnings" in left_out[0]
    values = set()
    for path in written:
        (entry,) = huggingface_hub.parse_eval_result_entries(yaml.safe_load(path.read_text()))
        assert (entry.dataset_id, entry.task_id) == ("org/bench", "scenes")
        assert entry.notes is not None
        assert "value: objects.f05" in entry.notes
        assert "recall" in entry.notes and "words" in entry.notes  # noqa: PT018
        values.add(entry.value)
    assert values == {rows[0].metrics["objects"]["f05"].value, rows[1].metrics["objects"]["f05"].value}


def test_names_stay_inside_the_folder_of_the_hub(tmp_path: Path) -> None:
    rows = [
        made_row(index * 12 + 1, name=name) for index, name in enumerate((*NAMES, "..", "../../x", "/etc/x"))
    ]
    written, left_out = write_results(board(*rows), tmp_path / "hub", Benchmark("org/bench"))
    assert len(written) + len(left_out) == len(rows)
    assert {path.parent.parent.parent for path in written} == {tmp_path / "hub"}
    assert {path.name for path in tmp_path.iterdir()} == {"hub"}


@pytest.mark.parametrize(
    ("dataset", "task"), [("bench", "default"), ("a/b/c", "default"), ("a/b", "x y"), ("../b", "x")]
)
def test_names_that_the_hub_does_not_have(dataset: str, task: str) -> None:
    with pytest.raises(UserError, match="--hub-"):
        Benchmark(dataset, task)


def test_one_benchmark_takes_no_runs_of_two_datasets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="describe on coco-val2014, describe on scenes"):
        write_results(made_board(8), tmp_path, Benchmark("org/bench"))


def test_the_command_writes_all_of_them(cli: Cli, tmp_path: Path) -> None:
    responses = write_lines(tmp_path / "r.jsonl", RESPONSES)
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    assert cli("score", "--responses", responses, "--objects", objects, "--out", tmp_path / "run").code == 0
    out = tmp_path / "out"
    files = {"html": out / "b.html", "csv": out / "b.csv", "markdown": out / "b.md", "latex": out / "b.tex"}
    flags = [part for name, path in files.items() for part in (f"--{name}", path)]
    hub = ["--hub", out / "hub", "--hub-dataset", "org/bench"]
    result = cli("leaderboard", tmp_path / "run", *flags, *hub)
    assert result.code == 0, result.err
    assert all(f"written: {path}" in result.out and path.stat().st_size for path in files.values())
    assert "written: " + str(out / "hub" / "run" / ".eval_results" / "run.yaml") in result.out
    for arguments, message in (
        (("--csv", tmp_path / "run" / "scores.json"), "--csv"),
        (("--html", tmp_path / "run" / "report.html"), "--html"),
        (("--hub", out / "hub"), "--hub-dataset"),
        (("--hub", tmp_path / "run", "--hub-dataset", "org/bench"), "is a run folder"),
        (("--hub-task", "x"), "need --hub"),
        (("--latex", files["csv"] / "x.tex"), "cannot be written"),
    ):
        result = cli("leaderboard", tmp_path / "run", *arguments)
        assert result.code == 2, arguments
        assert message in result.err
        assert len(result.err.splitlines()) == 1


def test_an_empty_board_has_empty_tables() -> None:
    empty = board()
    assert csv_text(empty).count("\n") == 1
    assert markdown_text(empty) == ""
    assert r"\begin" not in latex_text(empty)
    assert groups_of(empty) == []


def test_a_board_without_a_signature_is_one_group() -> None:
    rows = [made_row(index, parts=Signature(), signature="") for index in range(3)]
    (group,) = groups_of(board(*rows))
    assert len(group.rows) == 3
