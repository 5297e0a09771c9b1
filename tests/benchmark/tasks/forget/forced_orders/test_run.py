"""Forced orders in `eidolon run --task forget`."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.benchmark.conftest import Cli, read_lines, write_lines

FORGET = [
    "run", "--task", "forget", "--model", "scenes-small", "--limit", 10, "--lengths", "8",
    "--skip", "knowledge,cloze,interventions,attention",
    "--batch-size", 7, "--resamples", 100, "--max-new-tokens", 60, "--no-cache",
]  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run folder. Tests must not write to it."""
    from eidolon.benchmark.cli import invoke

    out = tmp_path_factory.mktemp("orders")
    assert invoke([str(argument) for argument in [*FORGET, "--out", out]]) == 0
    return out / "scenes-small"


@pytest.fixture
def run(shared: Path, tmp_path: Path) -> Path:
    """A copy of the run folder."""
    from shutil import copytree

    return Path(copytree(shared, tmp_path / "copy" / "scenes-small"))


def scored(run: Path) -> Any:
    return json.loads((run / "scores.json").read_text())["metrics"]["forgetting"]


def test_a_run_has_forced_orders(shared: Path) -> None:
    lines = read_lines(shared / "orders.jsonl")
    assert len(lines) == 40
    assert {(line["order"], line["late"]) for line in lines[:20]} == {("small", False), ("large", False)}
    detail = json.loads((shared / "orders.json").read_text())
    assert detail["found"]["images"] == 10
    forgetting = scored(shared)
    contrasts = {contrast["name"]: contrast for contrast in detail["found"]["contrasts"]}
    for name in ("difficulty", "lateness"):
        found = forgetting[f"order_{name}"]
        assert found["value"] == contrasts[name]["rate"]["value"]
        assert found.get("reason") == contrasts[name]["reason"]
    assert forgetting["size_order"]["value"] is not None
    assert json.loads((shared / "run.json").read_text())["config"]["inputs"]["task"]["orders"]["window"] == 60
    with Image.open(shared / "orders.png") as plot:
        assert plot.width > 800
    assert (shared / "report.html").read_text().count('class="plot"') >= 4


def test_the_same_command_makes_the_same_bytes_after_a_kill(cli: Cli, run: Path) -> None:
    names = ("orders.jsonl", "orders.json", "orders.png", "scores.json", "report.html")
    wanted = {name: (run / name).read_bytes() for name in names}
    lines = wanted["orders.jsonl"].splitlines(keepends=True)
    (run / "orders.jsonl").write_bytes(b"".join(lines[:17]) + lines[17][:40])
    for name in names[1:]:
        (run / name).unlink()
    result = cli(*FORGET, "--out", run.parent)
    assert result.code == 0
    assert "Wrong first mentions of scenes-small after forced beginnings" in result.out
    assert {name: (run / name).read_bytes() for name in names} == wanted


def test_a_check_reads_the_turns_again(cli: Cli, run: Path) -> None:
    result = cli("check", run)
    assert result.code == 0, result.out
    assert "40 turns that were begun for the" in " ".join(result.out.split())
    lines = read_lines(run / "orders.jsonl")
    lines[3]["mentions"] = [
        {**m, "category": "zebra", "verdict": "hallucinated"} for m in lines[3]["mentions"]
    ]
    write_lines(run / "orders.jsonl", lines)
    result = cli("check", run)
    assert result.code == 3
    assert "orders.jsonl:4: other mentions" in " ".join(result.out.split())
    lines[3]["named"] = [*lines[3]["named"][::-1], "zebra"]
    write_lines(run / "orders.jsonl", lines)
    assert "does not begin with the large objects" in " ".join(cli("check", run).out.split())
    (run / "orders.jsonl").unlink()
    assert cli("check", run).code == 3
