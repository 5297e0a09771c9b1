"""What the tests of the command line share: running it, and small inputs for it."""

import json
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from PIL import Image

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.terminal import progress


@dataclass(frozen=True)
class Result:
    """The result of a command."""

    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run the program in this process; a bug's exception passes through.

    Stages never say that they are slow, so that what a command prints does not depend on how busy the machine is.
    """
    monkeypatch.setattr(progress, "PATIENCE_S", 3600.0)

    def call(*arguments: object) -> Result:
        code = invoke([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    """Write JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[Any]:
    """Read JSONL."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


RESPONSES = [
    {"image_id": 1, "response": "A dog sits beside a cat on the grass."},
    {"image_id": 2, "response": "There is a pizza and a fork, and a dog waits."},
    {"image_id": 3, "response": "The street is empty and quiet this morning."},
]
OBJECTS = [
    {"image_id": 1, "objects": ["dog"]},
    {"image_id": 2, "objects": ["pizza", "fork"]},
    {"image_id": 3, "objects": []},
    {"image_id": 4, "objects": ["car"]},
]


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """Arguments of `eidolon score` for three responses, `responses.jsonl` and `objects.jsonl`."""
    responses = write_lines(tmp_path / "responses.jsonl", RESPONSES)
    objects = write_lines(tmp_path / "objects.jsonl", OBJECTS)
    return ["--responses", str(responses), "--objects", str(objects)]


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """A folder dataset of ten pictures, each with a dog, the odd ones with a cat too."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = []
    for index in range(10):
        Image.new("RGB", (8, 8), (20 * index, 90, 40)).save(folder / f"{index}.png")
        objects = ["dog", "cat"] if index % 2 else ["dog"]
        rows.append({"image_id": index, "image": f"{index}.png", "objects": objects})
    write_lines(folder / "objects.jsonl", rows)
    return folder


@pytest.fixture
def replay_file(tmp_path: Path) -> Path:
    """Responses to those ten pictures, for the replay backend; each hallucinates a cat on even pictures."""
    rows = [{"image_id": index, "response": "A dog plays with a cat on the lawn."} for index in range(10)]
    return write_lines(tmp_path / "answers.jsonl", rows)


class TookTooLongError(BaseException):
    """Not an `Exception`, which the code under test might take for one of its own."""


@contextmanager
def bounded(*, seconds: int = 60, mebibytes: int = 1500) -> Iterator[None]:
    """Fail if a block takes longer, and let it take only so much more of the address space."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TookTooLongError(f"took more than {seconds} s")

    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    space = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (mebibytes << 20), space[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, space)
