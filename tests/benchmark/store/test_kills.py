"""Runs that are killed at random, and before each operation on a file, end with the files of an undisturbed run."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidolon.models.base.shipped import shipped_models
from tests.fault_table import FaultRecorder, tally

pytestmark = pytest.mark.faults

SEED = "EIDOLON_FAULT_SEED"
SAME = ("samples.jsonl", "responses.jsonl", "judgements.jsonl", "scores.json", "report.html")
KILLED = -9
MODEL = """
class Dice:
    def generate(self, requests):
        for request in requests:
            dice = request.decoding.seed
            yield f"A {('dog', 'cat', 'bear')[dice % 3]} and a {('cup', 'car')[dice % 2]} are here."
"""


class Killer:
    """The program of `killing.py`, started once for several runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killing.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )
        assert self._read() == "ready"

    def run(self, *arguments: object, **how: object) -> tuple[int, float]:
        """Run a command. Return its exit code (-9 if it was killed) and the seconds that it took."""
        assert self._process.stdin is not None
        words = [str(argument) for argument in arguments]
        self._process.stdin.write(json.dumps({"arguments": words, "below": str(self.folder), **how}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._read())
        return answer["code"], answer["seconds"]

    def log(self) -> str:
        """Return the output of all commands so far."""
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def killer(tmp_path: Path) -> Iterator[Killer]:
    """A killer in a folder with the model `dice.py`."""
    (tmp_path / "dice.py").write_text(MODEL)
    program = Killer(tmp_path)
    yield program
    program.stop()


@pytest.fixture
def dice() -> random.Random:
    """Random numbers. Their seed is printed, and can be set in the environment."""
    seed = int(os.environ.get(SEED) or time.time_ns() % 2**32)
    print(f"{SEED}={seed}")
    return random.Random(seed)


def run_folder(out: Path) -> Path:
    return next(path for path in out.iterdir() if path.is_dir())


def stage_of(out: Path, keys: int) -> str:
    """Return the stage at which a run was killed, from its files."""
    folders = [path for path in out.iterdir() if path.is_dir()] if out.exists() else []
    if not folders or not (folders[0] / "run.json").exists():
        return "start"
    lines = {
        name: (folders[0] / name).read_bytes().count(b"\n") if (folders[0] / name).exists() else 0
        for name in SAME
    }
    if lines["responses.jsonl"] < keys:
        return "generate"
    if lines["judgements.jsonl"] < keys:
        return "judge"
    return "after" if (folders[0] / "scores.json").exists() else "score"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in SAME}


def check_log(folder: Path) -> None:
    """Check that every line of the log is JSON, except those that a kill tore."""
    lines = (folder / "run.log").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "session ended"
    whole = [line for line in lines if line.endswith("}")]
    assert [json.loads(line)["event"] for line in whole].count("session started") >= 1


def kill_at_random(
    killer: Killer,
    command: list[object],
    keys: int,
    dice: random.Random,
    kills: dict[str, int],
    *,
    least: int,
    most: int,
) -> tuple[Counter[str], Counter[str]]:
    """Kill runs until each stage was hit often enough. Return hits and recoveries by stage.

    Judging is in batches of one and kills are most likely in the middle of a run: else most would hit its long end.
    """
    how: dict[str, object] = {"slow": True, "judged": 1}
    code, seconds = killer.run(*command, "--out", "calm", **how)
    assert code == 0, killer.log()
    calm = contents(run_folder(killer.folder / "calm"))
    hit: Counter[str] = Counter()
    healed: Counter[str] = Counter()
    life, alive = 0, Counter[str]()
    while hit.total() < least or any(hit[stage] < wanted for stage, wanted in kills.items()):
        assert hit.total() < most, hit
        out = killer.folder / f"life-{life}"
        code, _ = killer.run(
            *command, "--out", out.name, after_s=dice.triangular(0.05, 1.05, 0.5) * seconds, **how
        )
        assert code in (0, KILLED), killer.log()
        if code == KILLED:
            alive[stage_of(out, keys)] += 1
        # A run is completed only half of the time, so that some runs are killed several times.
        if code == 0 or alive.total() >= 6 or dice.random() < 0.5:
            if code != 0:
                code, _ = killer.run(*command, "--out", out.name)
                assert code == 0, killer.log()
            same = contents(run_folder(out)) == calm
            check_log(run_folder(out))
            assert not list(run_folder(out).glob(".*.tmp"))
            hit.update(alive)
            healed.update(alive if same else {})
            life, alive = life + 1, Counter()
    return hit, healed


def expected_keys(samples: list[str], generations: int) -> list[tuple[str, int]]:
    return [(sample, generation) for sample in samples for generation in range(generations)]


def record(
    faults: FaultRecorder,
    out: Path,
    keys: list[tuple[str, int]],
    hit: Counter[str],
    healed: Counter[str],
    what: str,
) -> None:
    """Count the lost and doubled responses of all runs, and record the kills of each stage."""
    lives = [tally(run_folder(life), keys) for life in out.glob("life-*")]
    lost, doubled = sum(life.lost for life in lives), sum(life.doubled for life in lives)
    for stage in hit:
        faults.record(
            f"kill -9 at random, stage {stage}{what}",
            injected=hit[stage],
            lost=lost,
            doubled=doubled,
            healed=healed[stage],
        )
    assert healed == hit


def test_random_kills(
    killer: Killer, picture_folder: Path, dice: random.Random, faults: FaultRecorder, tmp_path: Path
) -> None:
    command: list[object] = [
        "run", "--model", "python/dice.py:Dice", "--dataset", f"folder/{picture_folder}", "--batch-size", 4,
        "--generations", 3, "--temperature", 1, "--resamples", 200, "--metric", "chair,objects",
    ]  # fmt: skip
    wanted = {"generate": 8, "judge": 5, "score": 5}
    hit, healed = kill_at_random(killer, command, 30, dice, wanted, least=30, most=200)
    record(faults, tmp_path, expected_keys([str(i) for i in range(10)], 3), hit, healed, "")


def test_random_kills_of_a_shipped_model(
    killer: Killer, dice: random.Random, faults: FaultRecorder, tmp_path: Path
) -> None:
    assert "scenes-small" in shipped_models()
    command: list[object] = [
        "run", "--model", "scenes-small", "--limit", 6, "--batch-size", 2, "--max-new-tokens", 20,
        "--temperature", 1, "--resamples", 50, "--metric", "chair,objects",
    ]  # fmt: skip
    assert killer.run(*command, "--out", "calm")[0] == 0, killer.log()
    calm = run_folder(tmp_path / "calm")
    out = tmp_path / "life-0"
    hit: Counter[str] = Counter()
    # Loading the weights takes most of the time: kills at random times would hit little else.
    for _ in range(4):
        code, _ = killer.run(*command, "--out", out, below=str(out), at=dice.randint(8, 24))
        assert code in (0, KILLED), killer.log()
        hit[stage_of(out, 6)] += code == KILLED
    assert killer.run(*command, "--out", out)[0] == 0, killer.log()
    assert hit["generate"] > 0
    same = contents(run_folder(out)) == contents(calm)
    samples = [json.loads(line)["sample_id"] for line in (calm / "samples.jsonl").open()]
    record(faults, tmp_path, expected_keys(samples, 1), hit, hit if same else Counter(), " (scenes-small)")


VERBS: dict[str, list[object]] = {
    "run": ["run", "--model", "python/dice.py:Dice", "--dataset", "folder/pictures", "--batch-size", 5],
    "score": ["score", "--responses", "answers.jsonl", "--objects", "pictures/objects.jsonl"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_killed_before_every_second_operation_on_a_file(
    verb: str,
    killer: Killer,
    dice: random.Random,
    picture_folder: Path,
    replay_file: Path,
    faults: FaultRecorder,
    tmp_path: Path,
) -> None:
    command = [*VERBS[verb], "--resamples", 20, "--out"]
    out = tmp_path / "out"
    assert killer.run(*command, tmp_path / "calm")[0] == 0, killer.log()
    calm_folder = run_folder(tmp_path / "calm") if verb == "run" else tmp_path / "calm"
    calm = contents(calm_folder)
    keys = expected_keys([str(i) for i in range(10)], 1)
    struck = lost = doubled = healed = 0
    for at in range(dice.randint(1, 2), 1000, 2):
        code, _ = killer.run(*command, out, at=at, below=str(out))
        if code == 0:
            break
        assert code == KILLED, killer.log()
        struck += 1
        code, _ = killer.run(*command, out)
        assert code == 0, f"killed before operation {at}: {killer.log()[-2000:]}"
        folder = run_folder(out) if verb == "run" else out
        counted = tally(folder, keys)
        lost, doubled = lost + counted.lost, doubled + counted.doubled
        # The report of scored response files contains the name of its folder.
        healed += all(
            calm[name] == found for name, found in contents(folder).items() if name != "report.html"
        )
        assert not list(out.rglob(".*.tmp"))
        subprocess.run(["rm", "-r", str(out)], check=True)
    assert struck > 20
    faults.record(
        f"kill -9 before operations on files, {verb}",
        injected=struck,
        lost=lost,
        doubled=doubled,
        healed=healed,
    )
    assert healed == struck
