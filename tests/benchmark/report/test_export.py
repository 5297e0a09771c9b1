"""`eidolon export`: tables that DuckDB and `datasets` read, with the rows of the run folders."""

import json
from pathlib import Path

import duckdb
import pytest
from pyarrow import parquet

from eidolon.benchmark.report.export import parquet as writing
from eidolon.benchmark.report.export.tables import SCHEMA, SHARED, TABLES
from tests.benchmark.conftest import Cli, read_lines, write_lines


@pytest.fixture
def run(picture_folder: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of ten responses: each names a dog and a cat, and the last one failed."""
    rows = [{"image_id": index, "response": "A dog plays with a cat."} for index in range(9)]
    answers = write_lines(tmp_path / "answers.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    command = ["run", "--model", f"replay/{answers}", "--dataset", "folder/pictures", "--resamples", "20"]
    assert cli(*command, "--out", "runs", "--max-unscored", "1", "--label", "ten").code == 0
    (folder,) = (path.parent for path in Path("runs").glob("*/run.json"))
    return folder


def test_the_tables_have_the_rows_of_the_run(run: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # Several groups of rows in every table.
    monkeypatch.setattr(writing, "GROUP", 3)
    found = cli("export", str(run), "--to", "parquet", "--out", "tables")
    assert found.code == 0, found.err
    assert sorted(path.name for path in Path("tables").iterdir()) == sorted(
        f"{name}.parquet" for name in TABLES
    )
    tables = {name: parquet.read_table(f"tables/{name}.parquet").to_pylist() for name in TABLES}
    responses = read_lines(run / "responses.jsonl")
    judgements = read_lines(run / "judgements.jsonl")
    assert [(row["sample_id"], row["response"], row["error"]) for row in tables["responses"]] == [
        (line["sample_id"], line["response"], line["error"]) for line in responses
    ]
    assert [row["unscored"] for row in tables["responses"]] == [line["unscored"] for line in judgements]
    assert [
        (row["sample_id"], row["category"], row["verdict"], row["start"]) for row in tables["mentions"]
    ] == [
        (line["sample_id"], mention["category"], mention["verdict"], mention["start"])
        for line in judgements
        for mention in line["mentions"]
    ]
    assert [(row["sample_id"], row["objects"]) for row in tables["samples"]] == [
        (line["sample_id"], line["objects"]) for line in read_lines(run / "samples.jsonl")
    ]
    scores = json.loads((run / "scores.json").read_text())
    main = {
        (row["family"], row["quantity"]): row["value"]
        for row in tables["scores"]
        if row["category"] is None and row["variant"] is None
    }
    assert main["objects", "f05"] == scores["metrics"]["objects"]["f05"]["value"]
    by_category = scores["metrics"]["objects"]["per_category"]
    assert sum(row["category"] is not None for row in tables["scores"]) >= len(by_category)
    assert {row["run"] for name in TABLES for row in tables[name]} == {run.as_posix()}


def test_duckdb_and_datasets_read_the_tables(run: Path, cli: Cli) -> None:
    import datasets

    assert cli("export", "runs", "--out", "tables").code == 0
    # By hand: 9 responses name a cat, and 4 of their images, the odd ones, show one.
    wrong = duckdb.sql(
        "SELECT category, count(*) FROM 'tables/mentions.parquet' WHERE verdict = 'hallucinated' GROUP BY category"
    ).fetchall()
    assert wrong == [("cat", 5)]
    loaded = datasets.load_dataset(
        "parquet", data_files="tables/mentions.parquet", split="train", cache_dir="cache"
    )
    assert (
        loaded["category"]
        == duckdb.sql("SELECT category FROM 'tables/mentions.parquet'").df()["category"].tolist()
    )
    for name in TABLES:
        rows = datasets.load_dataset(
            "parquet", data_files=f"tables/{name}.parquet", split="train", cache_dir="cache"
        )
        assert rows.column_names == [*SHARED, *TABLES[name].columns]


def test_the_files_name_the_version_of_their_columns(run: Path, cli: Cli) -> None:
    assert cli("export", str(run), "--out", "tables").code == 0
    for name, table in TABLES.items():
        schema = parquet.read_schema(f"tables/{name}.parquet")
        assert schema.metadata[b"eidolon.schema"].decode() == SCHEMA
        assert schema.equals(table.schema(name))


def test_a_mistake_leaves_no_table(run: Path, cli: Cli) -> None:
    found = cli("export", str(run), "--out", str(run))
    assert (found.code, "give a folder of its own" in found.err) == (2, True)
    (run / "judgements.jsonl").write_text('{"sample_id": 1}\n')
    found = cli("export", str(run), "--out", "tables")
    assert (found.code, "judgements.jsonl:1" in found.err) == (2, True), found.err
    assert not any(path.name.endswith((".tmp", "responses.parquet")) for path in Path("tables").iterdir())


def test_the_page_lists_the_columns() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/export.md").read_text(encoding="utf-8")
    for name, table in TABLES.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        rows = [f"| `{column}` | `{kind}` | {text} |" for column, (kind, text) in table.columns.items()]
        assert [line for line in section.splitlines() if line.startswith("| `")] == rows
    assert f"`{SCHEMA}`" in page
