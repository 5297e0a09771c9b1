"""A run that is killed, again and again, ends with the same bytes as one that is left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmark.conftest import read_lines

SLOW = """
import os, time

class Slow:
    def generate(self, requests):
        for request in requests:
            time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
            dice = request.decoding.seed + int(request.sample_id) + request.generation
            yield f"A {('dog', 'cat', 'bear')[dice % 3]} and a {('cup', 'car')[dice % 2]} are here."
"""


START = """
import signal
# What runs in the background of a shell starts with interrupts ignored, and so does all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
from eidolon.benchmark.cli import main
main()
"""


def command(folder: Path, out: str) -> list[str]:
    return [
        sys.executable, "-c", START, "run",
        "--model", "python/slow.py:Slow", "--dataset", f"folder/{folder}", "--out", out,
        "--batch-size", "4", "--generations", "3", "--temperature", "1",
    ]  # fmt: skip


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_run_ends_like_an_uninterrupted_one(picture_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    subprocess.run(command(picture_folder, "whole"), cwd=tmp_path, check=True, capture_output=True)
    folder = tmp_path / "killed/python-slow.py-Slow"
    responses = folder / "responses.jsonl"
    slow = {**os.environ, "SLOW_SECONDS": "0.05"}
    for wanted in (1, 9, 17):
        process = subprocess.Popen(
            command(picture_folder, "killed"), cwd=tmp_path, env=slow,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while count_lines(responses) < wanted and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert json.loads((folder / "run.json").read_text())["status"] == "started"
        assert wanted <= count_lines(responses) < 30
    # A kill between two writes of one batch, which the fsync of the last one did not reach.
    responses.write_bytes(responses.read_bytes()[:-30])

    subprocess.run(command(picture_folder, "killed"), cwd=tmp_path, check=True, capture_output=True)
    whole = tmp_path / "whole/python-slow.py-Slow"
    for name in ("scores.json", "responses.jsonl", "judgements.jsonl", "samples.jsonl"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    keys = [(row["sample_id"], row["generation"]) for row in read_lines(responses)]
    assert keys == [(str(sample), generation) for sample in range(10) for generation in range(3)]
    run = json.loads((folder / "run.json").read_text())
    assert [session["status"] for session in run["sessions"]] == ["started", "started", "started", "success"]


def test_second_run_of_one_folder_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    first = subprocess.Popen(
        command(picture_folder, "out"), cwd=tmp_path, env={**os.environ, "SLOW_SECONDS": "10"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "out/python-slow.py-Slow/run.json").exists() and time.monotonic() < deadline:
            assert first.poll() is None
            time.sleep(0.02)
        second = subprocess.run(
            command(picture_folder, "out"), cwd=tmp_path, capture_output=True, text=True, check=False
        )
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 2
    assert f"is being written by process {first.pid}" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT])
def test_interrupted_run_is_cancelled(picture_folder: Path, tmp_path: Path, signum: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    process = subprocess.Popen(
        command(picture_folder, "out"), cwd=tmp_path, env={**os.environ, "SLOW_SECONDS": "0.5"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    folder = tmp_path / "out/python-slow.py-Slow"
    deadline = time.monotonic() + 120
    while not count_lines(folder / "responses.jsonl") and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert json.loads((folder / "run.json").read_text())["status"] == "cancelled"
