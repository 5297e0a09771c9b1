"""Plug-ins that end the process, change the working folder or fork: an error, or the same files as without."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmark.conftest import Cli, read_lines
from tests.fault_table import FaultRecorder

pytestmark = pytest.mark.faults

KEYS = [(str(index), 0) for index in range(10)]
MODEL = """
import os
{0}
class Mine:
    def __init__(self):
        {1}
    def generate(self, requests):
        for request in requests:
            {2}
            yield "A dog."
"""
JUDGE = """
import os
from eidolon.scorers.core.types import Judgement
{0}
class Mine:
    name, vocabulary = "mine", ("car", "dog", "fork", "pizza")
    def __init__(self):
        {1}
    def signature(self):
        return "mine"
    def judge(self, responses):
        for response in responses:
            {2}
            yield Judgement(sample_id=response.sample_id, image_id=response.image_id)
"""
ENDS = {
    "os._exit(0)": "os._exit(0)",
    "os._exit(7)": "os._exit(7)",
    "sys.exit(0)": "raise SystemExit(0)",
    "exit by a thread": "import threading; t = threading.Thread(target=os._exit, args=(0,)); t.start(); t.join()",
}


def write(path: Path, form: str, place: int, code: str) -> None:
    parts = ["pass"] * 3
    parts[place] = code
    path.write_text(form.format(*parts), encoding="utf-8")


def start(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = "from eidolon.benchmark.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], cwd=folder, capture_output=True, text=True,
        timeout=120, check=False, env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("end", "place"), [*((end, 2) for end in ENDS), ("os._exit(0)", 0), ("os._exit(0)", 1)]
)
def test_a_model_that_ends_the_process(
    end: str, place: int, picture_folder: Path, tmp_path: Path, faults: FaultRecorder
) -> None:
    """There is one line, an exit code that is not 0, and the corrected class resumes the run."""
    write(tmp_path / "mine.py", MODEL, place, ENDS[end])
    command = ("run", "--model", "python/mine:Mine", "--dataset", f"folder/{picture_folder}", "--out", "out")
    done = start(tmp_path, *command, "--resamples", 10)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out/*/scores.json"))
    write(tmp_path / "mine.py", MODEL, 0, "pass")
    assert start(tmp_path, *command, "--resamples", 10).returncode == 0
    (scores,) = tmp_path.glob("out/*/scores.json")
    faults.after("plug-in: ends the process", scores.parent, KEYS, healed=1)


FORK = "os.fork()"
FOLDERS = {
    "chdir to /": ("os.chdir('/')", None),
    "chdir to a folder that is deleted": (
        "import tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)", None,
    ),
    "fork": (FORK, None),
    "fork and fail": ("os.fork() or 1 / 0", None),
    "fork and exit": ("os.fork() or os._exit(0)", None),
}  # fmt: skip


@pytest.mark.parametrize(
    ("what", "place"), [*((what, 2) for what in FOLDERS), ("chdir to /", 0), ("chdir to /", 1), ("fork", 0)]
)
def test_a_model_that_moves_or_multiplies(
    what: str, place: int, picture_folder: Path, tmp_path: Path, faults: FaultRecorder
) -> None:
    """The files are as those of a model that does not."""
    command = ("run", "--dataset", f"folder/{picture_folder}", "--resamples", 10, "--model")
    write(tmp_path / "mine.py", MODEL, 0, "pass")
    assert start(tmp_path, *command, "python/mine:Mine", "--out", "plain").returncode == 0
    write(tmp_path / "mine.py", MODEL, place, FOLDERS[what][0])
    done = start(tmp_path, *command, "python/mine:Mine", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written: out/") == 2
    (plain,), (run,) = (
        [path.parent for path in tmp_path.glob(f"{out}/*/run.json")] for out in ("plain", "out")
    )
    for name in ("responses.jsonl", "judgements.jsonl", "scores.json"):
        assert (run / name).read_bytes() == (plain / name).read_bytes()
    assert json.loads((run / "run.json").read_bytes())["status"] == "success"
    faults.after(f"plug-in: {'forks' if 'fork' in what else 'changes the folder'}", run, KEYS, healed=1)


def test_a_model_finds_its_own_working_folder_again(
    cli: Cli, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have changed it to read its own files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "text.txt").write_text("A dog.", encoding="utf-8")
    (tmp_path / "mine.py").write_text(
        "import os\nclass Mine:\n    def __init__(self):\n        os.chdir('inside')\n"
        "    def generate(self, requests):\n        return [open('text.txt').read() for _ in requests]\n",
        encoding="utf-8",
    )
    result = cli(
        "run", "--model", "python/mine.py:Mine", "--dataset", f"folder/{picture_folder}", "--out", "out"
    )
    assert result.code == 0, result.err
    assert Path.cwd() == tmp_path
    (responses,) = tmp_path.glob("out/*/responses.jsonl")
    assert {row["response"] for row in read_lines(responses)} == {"A dog."}


@pytest.mark.parametrize(
    ("what", "place"),
    [("os._exit(0)", 0), ("os._exit(0)", 2), ("sys.exit(0)", 1), ("chdir to /", 0), ("fork", 2)],
)
def test_a_judge(what: str, place: int, inputs: list[str], tmp_path: Path, faults: FaultRecorder) -> None:
    code = ENDS.get(what) or FOLDERS[what][0]
    write(tmp_path / "judging.py", JUDGE, place, code)
    info = tmp_path / "mine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[eidolon.judges]\nmine = judging:Mine\n", encoding="utf-8")
    command = ("score", *inputs, "--judge", "mine", "--metric", "chair", "--resamples", 10, "--out", "out")
    done = start(tmp_path, *command)
    ends = what in ENDS
    assert done.returncode == (2 if ends else 0), done.stderr
    assert (tmp_path / "out" / "scores.json").exists() == (not ends)
    if ends:
        assert done.stderr.splitlines()[-1].startswith("error: ")
        write(tmp_path / "judging.py", JUDGE, 0, "pass")
        assert start(tmp_path, *command).returncode == 0
    assert len(read_lines(tmp_path / "out" / "judgements.jsonl")) == 3
    faults.record("plug-in: a judge that ends, moves or forks", healed=1)
