"""A run over real processes: the same bytes as with one process, whatever is killed, and no process left over."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.benchmark.conftest import Cli, read_lines
from tests.benchmark.run.test_resume import START, count_lines

PATIENCE_S = 120
FILES = ("scores.json", "responses.jsonl", "judgements.jsonl", "samples.jsonl")

MODEL = """
import os, time
from pathlib import Path
from eidolon.scorers.core.types import Response

class Dice:
    def __init__(self, fail=""):
        self.fail = fail
        self._fail("load")

    def _fail(self, where):
        if self.fail == f"{where} {os.environ.get('RANK')}":
            raise RuntimeError("cannot be done")

    def generate(self, requests):
        for request in requests:
            time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
            self._fail("generate")
            dice = request.decoding.seed
            answer = f"A {('dog', 'cat', 'bear')[dice % 3]} and a {('cup', 'car')[dice % 2]} are here."
            if Path("down").exists() and dice % 4 == 0:
                yield Response(sample_id=request.sample_id, image_id=request.image_id, response=None,
                               generation=request.generation, error="down", transient=True)
            else:
                yield answer
"""


@pytest.fixture
def here(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model and pictures: 30 requests in 8 batches."""
    (tmp_path / "dice.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(out: str, *more: str) -> list[str]:
    return [
        "run", "--model", "python/dice.py:Dice", "--dataset", "folder/pictures", "--out", out,
        "--batch-size", "4", "--generations", "3", "--temperature", "1", "--resamples", "50", *more,
    ]  # fmt: skip


PROGRAM = (sys.executable, "-c", START)


def done(
    *command: str, program: tuple[str, ...] = PROGRAM, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *command], env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip


def same(one: Path, other: Path, files: tuple[str, ...] = FILES) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


class Started:
    """A slow command over several processes. It has answered at least one batch."""

    def __init__(self, out: str, *more: str, lines: int = 1) -> None:
        responses = Path(out, "python-dice.py-Dice/responses.jsonl")
        self.launcher = psutil.Popen(
            [*PROGRAM, *asked(out, *more)], env={**os.environ, "SLOW_SECONDS": "0.1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: count_lines(responses) >= lines or self.launcher.poll() is not None)
        assert self.launcher.poll() is None
        children = self.launcher.children()
        self.ranks = {int(child.environ()["RANK"]): child for child in children if "RANK" in child.environ()}

    def end(self) -> tuple[int, str]:
        """Wait until all processes have ended. Return the exit code of the launcher and its stderr."""
        _, err = self.launcher.communicate(timeout=PATIENCE_S)
        _, left = psutil.wait_procs([*self.ranks.values()], timeout=30)
        assert not left
        return self.launcher.returncode, err

    def kill(self) -> None:
        for process in (*self.ranks.values(), self.launcher):
            if process.is_running():
                process.kill()


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., Started]]:
    """Start commands. They are killed at the end of the test."""
    started: list[Started] = []

    def call(*arguments: str, lines: int = 1) -> Started:
        started.append(Started(*arguments, lines=lines))
        return started[-1]

    yield call
    for one in started:
        one.kill()


def without_progress(text: str) -> list[str]:
    return [line for line in text.splitlines() if not re.search(r"\d+ of \d+ responses done|samples/s", line)]


@pytest.mark.parametrize(
    ("processes", "command"),
    [
        (2, ["--model", "scenes-small", "--model", "python/dice.py:Dice", "--generations", "2"]),
        (3, ["--model", "scenes-small", "--task", "probe", "--pairs", "2"]),
    ],
)
def test_several_processes_write_what_one_writes(
    processes: int, command: list[str], here: Path, cli: Cli
) -> None:
    (here / "settings.yaml").write_text("limit: 5\nbatch_size: 2\nmax_new_tokens: 20\nresamples: 50\n")
    command = ["run", *command, "--config", "settings.yaml", "--no-cache"]
    assert cli(*command, "--out", "one").code == 0
    several = done(*command, "--out", "several", "--processes", str(processes))
    assert several.returncode == 0, several.stderr
    assert several.stdout.count("Leaderboard") == 1
    runs = sorted(path.parent.name for path in Path("one").glob("*/run.json"))
    for run in runs:
        one, other = Path("one", run), Path("several", run)
        files = tuple(
            file.name for file in one.iterdir() if file.name not in ("run.json", "run.log", ".lock")
        )
        assert set(FILES) <= {*files}
        assert same(one, other, files), run
        records = [json.loads((folder / "run.json").read_text()) for folder in (one, other)]
        assert [record["sessions"][0]["processes"] for record in records] == [1, processes]
        assert records[0]["config"] == records[1]["config"]
        assert records[0]["model"] == records[1]["model"]
        if run == "scenes-small":
            assert records[1]["sessions"][0]["threads"] >= 1
        # Only the first process shows progress, over all responses of the run.
        total = len(read_lines(other / "responses.jsonl"))
        name = records[1]["name"]
        assert several.stderr.count(f"{name}: 0 of {total} responses done, {total} to do") == 1
        assert several.stderr.count(f"{name}: {total}/{total} (100 %)") == 1


def test_a_killed_run_resumes_with_another_number_of_processes(
    here: Path, start: Callable[..., Started], cli: Cli
) -> None:
    assert cli(*asked("whole")).code == 0
    whole, folder = Path("whole/python-dice.py-Dice"), Path("killed/python-dice.py-Dice")
    written = 0
    for processes in (3, 2):
        # A line more than before: the session of a process that writes nothing may not be recorded yet.
        killed = start("killed", "--processes", str(processes), lines=written + 1)
        time.sleep(random.random() * 0.2)
        killed.kill()
        killed.end()
        before, written = written, count_lines(folder / "responses.jsonl")
        assert before < written < 30
        assert json.loads((folder / "run.json").read_text())["status"] == "started"
    assert cli(*asked("killed", "--processes", "1")).code == 0
    assert same(whole, folder)
    sessions = json.loads((folder / "run.json").read_text())["sessions"]
    assert [session["processes"] for session in sessions] == [3, 2, 1]


def test_the_death_of_one_process_ends_the_run(here: Path, start: Callable[..., Started], cli: Cli) -> None:
    run = start("out", "--processes", "2")
    run.ranks[1].kill()
    code, err = run.end()
    assert code == 128 + signal.SIGKILL
    assert without_progress(err) == [
        "error: process 1 of 2 was killed (SIGKILL); the files are whole, and the same command resumes the run"
    ]
    folder = Path("out/python-dice.py-Dice")
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["sessions"][0]["error"]) == (
        "cancelled",
        "another process of the run failed, or their launcher was told to end",
    )
    assert cli(*asked("out", "--processes", "1")).code == 0
    assert cli(*asked("whole")).code == 0
    assert same(folder, Path("whole/python-dice.py-Dice"))


def test_no_process_outlives_its_launcher(start: Callable[..., Started]) -> None:
    run = start("out", "--processes", "2")
    run.launcher.kill()
    code, err = run.end()
    assert code == -signal.SIGKILL
    assert without_progress(err) == []
    status = json.loads(Path("out/python-dice.py-Dice/run.json").read_text())["status"]
    assert status in (
        "started",
        "cancelled",
    )  # it depends on whether they were answering or waiting for each other


def test_an_interrupt_ends_all_processes(start: Callable[..., Started]) -> None:
    run = start("out", "--processes", "2")
    run.launcher.send_signal(signal.SIGINT)
    code, err = run.end()
    assert code == 128 + signal.SIGINT
    assert without_progress(err) == []
    record = json.loads(Path("out/python-dice.py-Dice/run.json").read_text())
    assert (record["status"], record["sessions"][0]["error"]) == ("cancelled", "interrupted")


@pytest.mark.parametrize("where", ["load 1", "generate 1"])
def test_a_mistake_in_one_process_is_printed_once(where: str, here: Path) -> None:
    failed = done(*asked("out", "--processes", "2", "-M", f"fail={where}"))
    assert failed.returncode == 2
    (line,) = without_progress(failed.stderr)
    assert re.match(r"error: model 'python/dice.py:Dice': .*RuntimeError: cannot be done \(dice.py, ", line)
    # There is no run folder before the model is loaded in every process.
    assert Path("out").exists() == (where != "load 1")


def test_several_processes_retry_transient_failures(here: Path, cli: Cli) -> None:
    assert cli(*asked("whole")).code == 0
    (here / "down").touch()
    assert cli(*asked("out", "--max-unscored", "0")).code == 3
    folder = Path("out/python-dice.py-Dice")
    batches = {n // 4 for n, row in enumerate(read_lines(folder / "responses.jsonl")) if row["error"]}
    assert len(batches) > 1
    (here / "down").unlink()
    healed = done(*asked("out", "--processes", "2", "--max-unscored", "0"))
    assert healed.returncode == 0, healed.stderr
    assert same(folder, Path("whole/python-dice.py-Dice"))


ACCELERATE = (sys.executable, "-m", "accelerate.commands.launch")


def test_a_launcher_that_starts_one_process_of_several_is_refused(here: Path) -> None:
    launched = done(
        "--cpu", "--num_processes", "2", "-m", "eidolon.benchmark", *asked("out"), program=ACCELERATE
    )
    assert launched.returncode != 0
    assert launched.stderr.count("error: accelerate launch: was told several processes and started one") == 1
    assert not Path("out").exists()


def test_it_uses_the_processes_of_a_launcher(here: Path, cli: Cli) -> None:
    launch = ("--multi_gpu", "--num_processes", "2", "--main_process_port", "0", "-m", "eidolon.benchmark")
    environment = {"ACCELERATE_USE_CPU": "true"}
    refused = done(*launch, *asked("out", "--processes", "3"), program=ACCELERATE, **environment)
    assert refused.returncode != 0
    assert refused.stderr.count("error: --processes 3: the launcher started 2") == 1
    assert not Path("out").exists()

    launched = done(*launch, *asked("out"), program=ACCELERATE, **environment)
    assert launched.returncode == 0, launched.stderr
    assert launched.stdout.count("Leaderboard") == 1
    assert cli(*asked("whole")).code == 0
    folder = Path("out/python-dice.py-Dice")
    assert same(folder, Path("whole/python-dice.py-Dice"))
    assert json.loads((folder / "run.json").read_text())["sessions"][0]["processes"] == 2
