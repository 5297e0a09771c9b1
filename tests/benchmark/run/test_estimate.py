"""What a dry run says of work and time: numbers of somebody, or none."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.run.estimate import in_words
from tests.benchmark.conftest import Cli


@pytest.fixture
def command(picture_folder: Path, replay_file: Path) -> list[object]:
    model = f"replay/{replay_file}"
    return [
        "run",
        "--dataset",
        f"folder/{picture_folder}",
        "--model",
        model,
        "--resamples",
        0,
        "--batch-size",
        4,
    ]


def shown(cli: Cli, *arguments: object) -> dict[str, str]:
    result = cli(*arguments, "--dry-run")
    assert result.code == 0, result.err
    return dict(line.split(": ", 1) for line in result.out.splitlines())


def record_of(out: Path) -> tuple[Path, dict[str, Any]]:
    (path,) = out.glob("*/run.json")
    return path, json.loads(path.read_text())


def took(out: Path, seconds: int, **change: Any) -> None:
    """Make a finished run's record say how long it took."""
    path, record = record_of(out)
    record["sessions"][0] |= {
        "started": "2026-01-01T00:00:00+00:00",
        "ended": f"2026-01-01T00:00:{seconds:02}+00:00",
    }
    path.write_text(json.dumps(record | change))


def test_nothing_is_known(cli: Cli, command: list[object], tmp_path: Path) -> None:
    found = shown(
        cli, *command, "--out", tmp_path / "runs" / "a", "--max-new-tokens", 100, "--generations", 2
    )
    assert found["calls"] == "20"
    assert found["new tokens"].startswith("at most 2000 ")
    assert found["time"].startswith("unknown: no finished run like this one")
    assert not (tmp_path / "runs").exists()


def test_the_users_rate(cli: Cli, command: list[object], tmp_path: Path) -> None:
    found = shown(cli, *command, "--out", tmp_path / "a", "--rate", 0.05)
    assert found["time"] == "about 3.3 min, at 0.05 responses/s (--rate)"


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_impossible_rates(cli: Cli, command: list[object], rate: str) -> None:
    result = cli(*command, "--dry-run", "--rate", rate)
    assert (result.code, "must be above 0" in result.err) == (2, True)


def test_rate_is_for_dry_runs(cli: Cli, command: list[object], tmp_path: Path) -> None:
    result = cli(*command, "--rate", 2, "--out", tmp_path / "a")
    assert (result.code, "--rate 2: is for --dry-run only" in result.err) == (2, True)
    assert not (tmp_path / "a").exists()


def test_earlier_runs_say(cli: Cli, command: list[object], tmp_path: Path) -> None:
    """A run of the first 5 took 20 s, so all 10 take 40; one with another prompt says nothing."""
    first, second = tmp_path / "runs" / "first", tmp_path / "runs" / "second"
    assert cli(*command, "--out", first, "--limit", 5).code == 0
    took(first, 20)
    assert shown(cli, *command, "--out", second)["time"] == (
        f"about 40 s, at 0.25 responses/s ({record_of(first)[0].parent})"
    )
    other = shown(cli, *command, "--out", second, "--prompt", "brief")
    assert other["time"].startswith("unknown")
    for change in ({"status": "error"}, {"schema": "eidolon/run/9"}):
        took(first, 20, **change)
        assert shown(cli, *command, "--out", second)["time"].startswith("unknown")


def test_a_killed_session_says_nothing(cli: Cli, command: list[object], tmp_path: Path) -> None:
    first = tmp_path / "runs" / "first"
    assert cli(*command, "--out", first).code == 0
    took(first, 20)
    path, record = record_of(first)
    record["sessions"].insert(0, record["sessions"][0] | {"ended": None})
    path.write_text(json.dumps(record))
    assert shown(cli, *command, "--out", tmp_path / "runs" / "second")["time"].startswith("unknown")


def test_what_is_answered_already(cli: Cli, command: list[object], tmp_path: Path) -> None:
    """In a run that was cut off, whole batches are kept; the dry run changes no byte."""
    out = tmp_path / "runs" / "a"
    assert cli(*command, "--out", out).code == 0
    assert shown(cli, *command, "--out", out, "--rate", 1)["time"].startswith("about 0 s")
    (responses,) = out.glob("*/responses.jsonl")
    responses.write_bytes(b"".join(responses.read_bytes().splitlines(keepends=True)[:6]) + b'{"torn')
    before = responses.read_bytes()
    found = shown(cli, *command, "--out", out, "--rate", 1)
    assert found["calls"] == "6, 4 more are answered already"
    assert found["time"].startswith("about 6 s")
    assert responses.read_bytes() == before


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (59, "59 s"), (90, "1.5 min"), (9000, "2.5 h"), (200_000, "2.3 d")],
)
def test_in_words(seconds: float, expected: str) -> None:
    assert in_words(seconds) == expected
    assert re.fullmatch(r"[\d.]+ (s|min|h|d)", in_words(seconds))
