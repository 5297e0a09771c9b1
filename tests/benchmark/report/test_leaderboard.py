"""The leaderboard: order, comparability, its file and its table."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from eidolon.benchmark import json_schemas
from eidolon.benchmark.report import leaderboard
from eidolon.benchmark.report.finished_runs import finished_runs
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Samples
from tests.benchmark.conftest import OBJECTS, Cli, write_lines


@pytest.fixture
def runs(cli: Cli, tmp_path: Path) -> Path:
    """Three runs: `good`, `bad` and `silent`, and one of another reading."""
    objects = write_lines(tmp_path / "objects.jsonl", OBJECTS)
    base = tmp_path / "runs"
    for name, text, options in (
        ("bad", "A cat and a car.", ()),
        ("good", "A dog and a car.", ()),
        ("silent", "Nothing to report.", ()),
        ("other", "A dog.", ("-J", "reading=original")),
    ):
        responses = write_lines(
            tmp_path / f"{name}.jsonl", [{"image_id": i, "response": text} for i in (1, 2)]
        )
        assert (
            cli("score", "--responses", responses, "--objects", objects, "--out", base / name, *options).code
            == 0
        )
    return base


def test_order_and_flags(cli: Cli, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "leaderboard.json"
    result = cli("leaderboard", runs, "--out", out)
    assert result.code == 0, result.err
    board = json.loads(out.read_text())
    assert board["schema"] == "eidolon/leaderboard/1"
    assert [row["name"] for row in board["rows"]] == ["other", "good", "bad", "silent"]
    assert [row["differs"] for row in board["rows"]] == [[], ["judge"], ["judge"], ["judge"]]
    assert board["rows"][0]["run"] == "runs/other"
    assert "good is not comparable with the first row: another judge" in result.out
    assert result.out.count("signature: ") == 2


def test_it_says_which_rows_are_alike(cli: Cli, runs: Path) -> None:
    out = cli("leaderboard", runs).out
    assert "rows differ in judge: lexicon(reading=original,vocabulary=coco80): other; " in out
    assert "lexicon(reading=careful-2,vocabulary=coco80): good, bad, silent" in out
    scores = runs / "bad/scores.json"
    scores.write_text(scores.read_text().replace("decoding=unknown", "decoding=greedy"))
    record = json.loads((runs / "bad/run.json").read_text())
    record["signature"]["decoding"] = "greedy"
    (runs / "bad/run.json").write_text(json.dumps(record))
    result = cli("leaderboard", runs / "good", runs / "bad")
    assert "bad is not comparable with the first row: another decoding" in result.out
    assert "rows differ in decoding: unknown: good; greedy: bad" in result.out


def as_forgotten(run: Path, kept: float | None) -> None:
    """Make a run one of the task `forget`, which measured this."""
    record = json.loads((run / "run.json").read_text())
    record["config"]["task"] = "forget"
    (run / "run.json").write_text(json.dumps(record))

    def value(number: float | None, ci: tuple[float, float] | None = None) -> dict[str, object]:
        return {"value": number, "ci": ci, "n": 2, "higher_is_better": True}

    scores = json.loads((run / "scores.json").read_text())
    scores["metrics"]["forgetting"] |= {
        "retention_filler_128": value(kept, None if kept is None else (kept - 0.25, kept + 0.25)),
        "retention_own_longest": value(0.75, (0.5, 1.0)),
        "retention_own_longest_tokens": value(64),
        "pdm_decay_per_100_tokens": value(-0.125, (-0.5, 0.25)),
        "adjusted_odds_ratio_per_100_words": value(15.08, (1.9, 120.4)),
    }
    (run / "scores.json").write_text(json.dumps(scores))


def test_runs_that_forget_have_a_table_of_their_own(cli: Cli, runs: Path) -> None:
    """Theirs is sorted by what was kept, below chance before undefined; F0.5 decides nothing."""
    for name, kept in (("bad", 0.5), ("good", None), ("silent", -1.5)):
        as_forgotten(runs / name, kept)
    result = cli("leaderboard", runs, "--json")
    assert result.code == 0, result.err
    board = json.loads(result.out)
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(board, json_schemas.read("leaderboard"))
    assert [(row["task"], row["name"]) for row in board["rows"]] == [
        ("describe", "other"), ("forget", "bad"), ("forget", "silent"), ("forget", "good"),
    ]  # fmt: skip
    assert board["headlines"]["forget"] == "forgetting.retention_filler_128"
    # Another judge than the run of another task is no reason to say that they differ.
    assert [row["differs"] for row in board["rows"]] == [[], [], [], []]
    described, _, forgotten = cli("leaderboard", runs).out.partition("Leaderboard of forget, 95 % intervals")
    assert described.startswith("Leaderboard of describe, 95 % intervals")
    assert "CHAIR_i" in described
    assert "CHAIR_i" not in forgotten
    assert "not comparable" not in forgotten
    for cell in ("0.50", ".25-.75", "-1.50", "0.75 at 64", "-0.12", "-.50 to .25", "15.1", "1.9-120", "F0.5"):
        assert cell in forgotten
    alone = cli("leaderboard", runs / "bad").out
    assert alone.startswith("Leaderboard of forget")


def rows_of_dashes(out: str) -> list[str]:
    return [
        line
        for line in out.splitlines()
        if line.startswith("│") and {cell.strip() for cell in line.split("│")[3:-2]} == {"-"}
    ]


@pytest.fixture
def mixed(cli: Cli, runs: Path, tmp_path: Path) -> Path:
    """The runs, another of another dataset, and one over yes/no answers, one of them without F0.5."""
    objects = write_lines(tmp_path / "other-objects.jsonl", OBJECTS)
    responses = write_lines(tmp_path / "r.jsonl", [{"image_id": 1, "response": "A dog."}])
    for name, metric in (("elsewhere", "chair,objects"), ("fitted", "forgetting")):
        made = cli(
            "score", "--responses", responses, "--objects", objects, "--out", runs / name, "--metric", metric
        )
        assert made.code == 0, made.err
    question = {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"}
    questions = write_lines(tmp_path / "q.json", [question])
    answers = write_lines(tmp_path / "a.jsonl", [{"question_id": 1, "answer": "Yes."}])
    made = cli(
        "score", "--metric", "pope", "--questions", questions, "--answers", answers, "--out", runs / "asked"
    )
    assert made.code == 0, made.err
    return runs


def test_one_table_a_dataset_and_kind_of_run(cli: Cli, mixed: Path) -> None:
    result = cli("leaderboard", mixed)
    titles = [line.strip() for line in result.out.splitlines() if line.startswith("Leaderboard")]
    assert titles == [
        "Leaderboard of describe on objects, 95 % intervals",
        "Leaderboard of describe on other-objects, 95 % intervals",
        "Leaderboard of forgetting on other-objects, 95 % intervals",
        "Leaderboard of probe on q, 95 % intervals",
    ]
    assert rows_of_dashes(result.out) == []
    board = json.loads(cli("leaderboard", mixed, "--json").out)
    assert [(row["name"], row["differs"]) for row in board["rows"]][4:] == [
        ("elsewhere", []), ("fitted", []), ("asked", []),
    ]  # fmt: skip


def test_runs_that_share_a_metric_share_a_table() -> None:
    """A run with two metrics brings together those that have one each."""
    rows = [
        row(name, families)
        for name, families in (
            ("a", ["chair"]),
            ("b", ["x"]),
            ("c", ["chair", "y"]),
            ("d", ["x", "y"]),
            ("e", ["z"]),
        )
    ]
    found = [{row.name for row in table} for table in leaderboard.tables_of(rows)]
    assert found == [{"a", "b", "c", "d"}, {"e"}]


def row(name: str, families: list[str]) -> leaderboard.Row:
    value = {"value": 0.5, "ci": None, "n": 1, "higher_is_better": True}
    return leaderboard.Row.model_validate(
        {
            "name": name,
            "run": name,
            "signature": "",
            "n": {"requested": 1, "samples": 1, "scored": 1, "unscored": 0},
            "metrics": {family: {"first": value} for family in families},
        }
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_number_is_lost_in_a_narrow_terminal(
    cli: Cli, mixed: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    wide = numbers(cli("leaderboard", mixed).out)
    monkeypatch.setenv("COLUMNS", str(width))
    narrow = cli("leaderboard", mixed).out
    assert numbers(narrow) >= wide
    assert "…" not in narrow
    assert max(len(line) for line in narrow.splitlines() if line.startswith("│")) <= width


def numbers(out: str) -> Counter[str]:
    """Return how often each number is in the tables of an output."""
    cells = [word for line in out.splitlines() if line.startswith("│") for word in line.split()]
    return Counter(word for word in cells if any(letter.isdigit() for letter in word))


def test_links_to_runs_are_followed(cli: Cli, runs: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "good").symlink_to(runs / "good")
    (links / "copy").symlink_to(runs / "good")
    (links / "round").symlink_to(links)
    (links / "broken").symlink_to(tmp_path / "nowhere")
    (runs / "alias").symlink_to(runs / "silent")
    assert finished_runs(links) == [links / "copy"]
    assert finished_runs(runs) == [runs / n for n in ("bad", "good", "other", "silent")]
    assert len(json.loads(cli("leaderboard", links, "--json").out)["rows"]) == 1


def test_comparable_runs_are_not_flagged(cli: Cli, runs: Path) -> None:
    result = cli("leaderboard", runs / "good", runs / "bad", runs / "good")
    assert result.code == 0
    assert "not comparable" not in result.out
    assert result.out.count("signature: ") == 1
    assert "CHAIR_i" in result.out


def test_a_leaderboard_replaces_no_file_of_a_run(cli: Cli, runs: Path) -> None:
    before = (runs / "good/scores.json").read_bytes()
    result = cli("leaderboard", runs, "--out", runs / "good/scores.json")
    assert (result.code, result.out) == (2, "")
    assert "run folder" in result.err
    assert (runs / "good/scores.json").read_bytes() == before


def test_what_cannot_be_written_leaves_nothing(cli: Cli, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    assert cli("leaderboard", runs, "--out", tmp_path / "folder").code == 2
    assert sorted(tmp_path.iterdir()) == before


def test_json_fits_its_schema(cli: Cli, runs: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    printed = json.loads(cli("leaderboard", runs, "--json").out)
    jsonschema.validate(printed, json_schemas.read("leaderboard"))
    jsonschema.validate(json.loads((runs / "good/run.json").read_text()), json_schemas.read("run"))
    assert leaderboard.Leaderboard.model_validate(printed).rows[0].metrics["objects"]["f05"].value is not None


def test_mistakes(cli: Cli, runs: Path, tmp_path: Path) -> None:
    for arguments, expected in (
        ((tmp_path / "nowhere",), "no such folder"),
        ((runs / "good/run.json",), "is a file"),
        ((tmp_path / "empty",), "no finished run"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        result = cli("leaderboard", *arguments)
        assert result.code == 2
        assert expected in result.err
    (runs / "good/scores.json").write_text('{"schema": "eidolon/scores/1"}')
    result = cli("leaderboard", runs)
    assert result.code == 2
    assert "good/scores.json" in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    ["comparison", "doctor", "leaderboard", "questions", "run", "samples", "view_leaderboard", "words"],
)
def test_schemas_that_ship_are_those_of_the_models(name: str) -> None:
    assert json_schemas.read(name) == json_schemas.schemas()[name]


def naive_tables(rows: list[leaderboard.Row]) -> list[frozenset[str]]:
    """Return the names of rows that share families, directly or through others: pairs are joined until none is left."""
    tables = [({row.name}, set(row.metrics)) for row in rows]
    while True:
        pairs = [(a, b) for a in range(len(tables)) for b in range(a) if tables[a][1] & tables[b][1]]
        if not pairs:
            return [frozenset(names) for names, _ in tables]
        a, b = pairs[0]
        joined = tables[a][0] | tables[b][0], tables[a][1] | tables[b][1]
        tables = [table for i, table in enumerate(tables) if i not in (a, b)] + [joined]


def test_rows_that_share_families_through_others_are_one_table() -> None:
    rng, number = random.Random(3), Estimate(value=0.5, ci=None, n=1, higher_is_better=True)
    n = Samples(requested=1, samples=1, scored=1, unscored=0)
    for count in (0, 1, 2, 5, 9):
        for _ in range(20):
            rows = [
                leaderboard.Row(
                    name=f"model-{i}",
                    run=f"model-{i}",
                    signature="",
                    n=n,
                    metrics={
                        f"family{name}": {"rate": number}
                        for name in rng.sample("abcdefghijk", rng.randrange(3))
                    },
                )
                for i in range(count)
            ]
            found = leaderboard.tables_of(rows)
            assert sorted(sorted(row.name for row in table) for table in found) == sorted(
                map(sorted, naive_tables(rows))
            )
