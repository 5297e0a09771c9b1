"""`run.log` and stderr, the progress line, and no secrets anywhere. The other files do not depend on the log."""

import io
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from eidolon.benchmark.terminal import log, progress
from eidolon.benchmark.terminal.progress import duration, meter
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import Cli
from tests.chat_server import Answer, chat_server

KEY = "sk-very-secret-0123456789"
HALF = """
from eidolon.scorers.core.types import Response
class Half:
    def generate(self, requests):
        for r in requests:
            if int(r.sample_id) % 2:
                yield Response(sample_id=r.sample_id, image_id=r.image_id, response=None, error="it broke")
            else:
                yield "A dog and a cat."
"""


@pytest.fixture
def command(tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A run in which every other response fails."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half.py").write_text(HALF)
    return [
        "run", "--model", "python/half.py:Half", "--dataset", f"folder/{picture_folder}", "--batch-size", 4,
        "--resamples", 10, "--out",
    ]  # fmt: skip


def run_folder(out: Path) -> Path:
    return next(path for path in out.iterdir() if path.is_dir())


def events(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "run.log").read_text().splitlines()]


def test_the_log_of_a_run(command: list[object], cli: Cli, tmp_path: Path) -> None:
    assert cli(*command, "out").code == 3
    folder = run_folder(tmp_path / "out")
    found = events(folder)
    assert all(list(event)[:3] == ["time", "level", "event"] for event in found)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", str(e["time"])) for e in found)
    names = [event["event"] for event in found]
    assert names[0] == "session started"
    assert names.count("batch answered") == 3
    assert names[-3:] == ["batch judged", "scored", "session ended"]
    failed = [event for event in found if event["event"] == "response failed"]
    assert {event["level"] for event in failed} == {"warning"}
    assert [event["fields"]["sample"] for event in failed] == ["1", "3", "5", "7", "9"]  # type: ignore[index]
    assert all(event["fields"]["reason"] == "it broke" for event in failed)  # type: ignore[index]
    assert found[-1]["fields"] == {"status": "success"}
    (folder / "scores.json").unlink()
    assert cli(*command, "out").code == 3
    again = events(folder)
    assert again[: len(found)] == found, "a second session is added"
    assert again[len(found)]["fields"]["session"] == 2  # type: ignore[index]


def test_the_log_is_not_part_of_the_result(command: list[object], cli: Cli, tmp_path: Path) -> None:
    assert cli(*command, "a").code == cli(*command, "b", "--log-level", "debug").code == 3
    a, b = run_folder(tmp_path / "a"), run_folder(tmp_path / "b")
    assert sorted(path.name for path in a.iterdir()) == sorted(path.name for path in b.iterdir())
    for path in a.iterdir():
        if path.name not in ("run.json", "run.log", ".lock"):
            assert path.read_bytes() == (b / path.name).read_bytes(), path.name
    board = cli("leaderboard", a, "--json").out
    (a / "run.log").write_text("nothing of ours\n")
    assert cli("leaderboard", a, "--json").out == board
    assert cli(*command, "a").code == 3
    (a / "run.log").unlink()
    assert cli("compare", a, b, "--min-shared", 1).code == 0


def test_levels_on_stderr(
    command: list[object], cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quiet = cli(*command, "a", "--log-level", "error").err
    assert "response failed" not in quiet
    usual = cli(*command, "b").err
    assert usual.count("warning: response failed: ") == 5
    assert "(more of these are in run.log only)" in usual
    assert "batch answered" not in usual
    monkeypatch.setenv("EIDOLON_LOG", "info")
    assert "info: batch answered: responses 4" in cli(*command, "c").err
    assert "batch answered" not in cli(*command, "d", "--log-level", "warning").err, "the flag wins"
    monkeypatch.setenv("EIDOLON_LOG", "loud")
    refused = cli(*command, "e")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "EIDOLON_LOG=loud: unknown level" in refused.err
    assert "did you mean 'info'" in cli(*command, "e", "--log-level", "inof").err
    assert not (tmp_path / "e").exists()


def test_nothing_stays_attached(command: list[object], cli: Cli) -> None:
    before = [*logging.getLogger().handlers], logging.getLogger("eidolon").level
    cli(*command, "a", "--log-level", "debug")
    cli(*command, "a", "--seed", 3)
    assert ([*logging.getLogger().handlers], logging.getLogger("eidolon").level) == before


def test_only_warnings_of_libraries_are_logged(tmp_path: Path) -> None:
    with log.to_stderr(logging.DEBUG), log.to_file(tmp_path / "run.log"):
        logging.getLogger("httpx").info("POST with headers")
        logging.getLogger("httpx").warning("slow")
        logging.getLogger("eidolon.models.backends.endpoint").debug("ours")
    found = [json.loads(line) for line in (tmp_path / "run.log").read_text().splitlines()]
    assert [(line["event"], line.get("logger")) for line in found] == [("slow", "httpx"), ("ours", None)]


def test_a_bug_has_its_traceback_in_the_log(tmp_path: Path) -> None:
    with log.to_file(tmp_path / "run.log"):
        try:
            raise RuntimeError("a\nb")
        except RuntimeError:
            logging.getLogger("eidolon.x").exception("failed")
    (line,) = (tmp_path / "run.log").read_text().splitlines()
    assert "RuntimeError: a\nb" in json.loads(line)["traceback"]


def test_keys_are_in_no_file_and_no_line(
    cli: Cli,
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither the endpoint's key nor another in the environment, at the most verbose level."""
    other = 'hf_"quoted\\secret-42'
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", other)
    monkeypatch.setattr(sys, "argv", ["eidolon", "run", f"--typed-by-mistake={KEY}"])
    caplog.set_level(logging.DEBUG)
    with chat_server(lambda number, _: Answer(500, f"key {KEY} and {other}".encode())) as server:
        result = cli(
            "run", "--model", server.name, "--dataset", f"folder/{picture_folder}", "--out", tmp_path / "out",
            "--resamples", 10, "--temperature", 0, "-M", "retries=0", "--log-level", "debug",
        )  # fmt: skip
    assert result.code == 3
    folder = run_folder(tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
    text = (folder / "run.log").read_text()
    assert "and ***" in text
    for secret in (other, json.dumps(other)[1:-1], json.dumps(json.dumps(other)[1:-1])[1:-1]):
        assert secret not in text
    assert KEY not in result.out + result.err


def test_find_level() -> None:
    assert log.find_level("INFO") == logging.INFO
    with pytest.raises(UserError, match="--log-level x: unknown level"):
        log.find_level("x")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3_000, "50 min"),
        (5_400, "1 h 30 min"),
        (100_000, "27 h 47 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("width", [30, 60, 80, 100, 140])
def test_the_bar_fits_its_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one line at any width. What does not fit is left out; the time left and the errors stay longest."""
    console = Console(width=width, force_terminal=True, color_system=None, file=open(os.devnull, "w"))  # noqa: SIM115
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    with meter("transformers/llava-hf/llava-1.5-7b-hf, judge qa", 5000, 40) as shown:
        shown.advance(1600, 128_000, 3)
        shown._start -= 100
        assert progress._live is not None
        plain = Console(width=width, color_system=None, file=io.StringIO())
        with plain.capture() as captured:
            plain.print(progress._live.get_renderable())
    (line,) = captured.get().splitlines()
    assert len(line) <= width
    if width >= 60:
        assert "1640/5000 (32 %)" in line
        assert "3 errors" in line
        assert "4 min left" in line
        assert "llava-1.5-7b" in line
    if width >= 80:
        assert re.search(r"16\.0( samples)?/s", line)
        assert re.search(r"12\d\d tok(ens)?/s", line)
    if width == 140:
        assert "16.0 samples/s, 1280 tokens/s, 3 errors, 4 min left" in line


def test_lines_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with meter("m:x:y [b]", 100, 20) as shown:
        for _ in range(8):
            clock[0] += 4
            shown.advance(10, 50, 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "m:x:y [b]: 20 of 100 responses done, 80 to do",
        "m:x:y [b]: 50/100 (50 %), 2.5 samples/s, 12.5 tokens/s, 3 errors, 20 s left",
        "m:x:y [b]: 80/100 (80 %), 2.5 samples/s, 12.5 tokens/s, 6 errors, 8 s left",
        "m:x:y [b]: 100/100 (100 %), 2.5 samples/s, 12.5 tokens/s, 8 errors, done in 32 s",
    ]


def test_a_warning_does_not_tear_the_bar(command: list[object], tmp_path: Path) -> None:
    """In a pseudo-terminal, warnings have their own lines above the bar."""
    program = "from eidolon.benchmark.cli import main; main()"
    words = [sys.executable, "-c", program, *map(str, command), "pty"]
    pty = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "90", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", pty, *words], capture_output=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 3
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.stdout.decode())
    lines = [line.strip() for line in re.split(r"[\r\n]+", shown)]
    assert sum(line.startswith("warning: response failed: sample ") for line in lines) == 5
    assert any(re.match(r"half\.py:Half +10/10 \(100 %\).* 5 errors, done in", line) for line in lines)
