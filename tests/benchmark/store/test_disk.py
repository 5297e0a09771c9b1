"""Full disks, torn last lines, two runs in one folder: each costs one line and no data, and the next run recovers."""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eidolon.benchmark.store.atomic import DISK_ERRORS
from tests.benchmark.conftest import Cli
from tests.fault_table import FaultRecorder, tally

pytestmark = pytest.mark.faults

FILES = ("samples.jsonl", "responses.jsonl", "judgements.jsonl", "scores.json", "report.html")
KEYS = [(str(index), 0) for index in range(10)]
PAGE = 4096


@pytest.fixture
def command(replay_file: Path, picture_folder: Path) -> list[object]:
    """A run of ten pictures in batches of four, without its folder."""
    return [
        "run", "--model", f"replay/{replay_file}", "--dataset", f"folder/{picture_folder}", "--batch-size", 4,
        "--resamples", 20, "--out",
    ]  # fmt: skip


def run_folder(out: Path) -> Path:
    return next(path for path in out.iterdir() if path.is_dir())


def contents(out: Path) -> dict[str, bytes]:
    return {name: (run_folder(out) / name).read_bytes() for name in FILES}


@pytest.fixture
def calm(cli: Cli, command: list[object], tmp_path: Path) -> dict[str, bytes]:
    """The files of an undisturbed run."""
    assert cli(*command, tmp_path / "calm").code == 0
    return contents(tmp_path / "calm")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, "ENOSPC") for name in (*FILES, "run.json", "leaderboard.json")),
        ("responses.jsonl", "EDQUOT"),
        ("responses.jsonl", "EROFS"),
    ],
)
def test_a_full_disk_at_each_write_of_each_file(
    cli: Cli,
    command: list[object],
    calm: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faults: FaultRecorder,
    name: str,
    number: str,
) -> None:
    """Half of the data is on the disk when it reports that it is full."""
    out, real = tmp_path / "out", os.fsync
    code = getattr(errno, number)
    struck = lost = doubled = healed = 0
    for nth in range(1, 50):
        seen = 0

        def full(descriptor: int, nth: int = nth) -> None:
            nonlocal seen
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            seen += name in path
            if name in path and seen == nth:
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
                raise OSError(code, os.strerror(code))
            real(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            result = cli(*command, out)
        if result.code == 0:
            break
        struck += 1
        assert result.code == 2
        assert result.err.count("\n") >= 1
        last = result.err.splitlines()[-1]
        assert last.startswith("error: --out ")
        assert os.strerror(code) in last
        assert "Traceback" not in result.err
        assert cli(*command, out).code == 0
        found = tally(run_folder(out), KEYS)
        lost, doubled = lost + found.lost, doubled + found.doubled
        healed += contents(out) == calm
        subprocess.run(["rm", "-r", str(out)], check=True)
    why = {"ENOSPC": "full", "EDQUOT": "over its quota", "EROFS": "read-only all at once"}[number]
    faults.record(f"disk {why}, writing {name}", injected=struck, lost=lost, doubled=doubled, healed=healed)
    assert healed == struck


def test_the_error_numbers_of_full_disks() -> None:
    assert {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG} == set(DISK_ERRORS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of 512 pages, None if this machine does not allow to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = f"size={512 * PAGE}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], capture_output=True, check=False
    )
    yield disk if mounted.returncode == 0 else None
    if mounted.returncode == 0:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def only(disk: Path, pages: int) -> Iterator[None]:
    """Leave only `pages` pages of a disk free."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(0, os.statvfs(disk).f_bavail - pages) * PAGE))
    yield
    ballast.unlink()


@contextmanager
def no_larger_than(size: int) -> Iterator[None]:
    """Let the kernel refuse to write beyond `size` bytes of any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("how", ["disk", "limit"])
def test_a_disk_that_is_really_full(
    cli: Cli,
    command: list[object],
    calm: dict[str, bytes],
    tmp_path: Path,
    small_disk: Path | None,
    faults: FaultRecorder,
    how: str,
) -> None:
    """Limits on the disk, or on its largest file, from nothing to enough."""
    if how == "disk" and small_disk is None:
        pytest.skip("no file system can be mounted here; the limit on file sizes covers this case")
    out = (small_disk or tmp_path) / "out" if how == "disk" else tmp_path / "out"
    struck = lost = doubled = healed = 0
    for step in range(30):
        if how == "disk":
            assert small_disk is not None
            narrow = only(small_disk, 8 * step)
        else:
            narrow = no_larger_than(1 + step * max(map(len, calm.values())) // 10)
        with narrow:
            result = cli(*command, out)
        if result.code == 0:
            break
        struck += 1
        assert (result.code, result.err.splitlines()[-1][:7]) == (2, "error: "), result.err
        assert "Traceback" not in result.err
        assert cli(*command, out).code == 0
        found = tally(run_folder(out), KEYS)
        lost, doubled = lost + found.lost, doubled + found.doubled
        healed += contents(out) == calm
        subprocess.run(["rm", "-r", str(out)], check=True)
    else:
        pytest.fail("there was never enough room")
    kind = "a small disk, of every size" if how == "disk" else "a limit on file sizes, of every size"
    faults.record(f"disk full: {kind}", injected=struck, lost=lost, doubled=doubled, healed=healed)
    assert healed == struck > 3


def test_a_log_that_cannot_be_written_stops_nothing(
    cli: Cli, command: list[object], calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a full disk nor a link in its place stops a run."""
    with monkeypatch.context() as patch:
        real = os.write

        def full(descriptor: int, data: bytes) -> int:
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith("run.log"):
                raise OSError(errno.ENOSPC, "full")
            return real(descriptor, data)

        patch.setattr("os.write", full)
        result = cli(*command, tmp_path / "out")
    assert (result.code, "Traceback" in result.err) == (0, False)
    assert contents(tmp_path / "out") == calm

    folder = run_folder(tmp_path / "out")
    secret = tmp_path / "secret.txt"
    secret.write_text("kept")
    (folder / "run.log").unlink()
    (folder / "run.log").symlink_to(secret)
    (folder / "scores.json").unlink()
    assert cli(*command, tmp_path / "out").code == 0
    assert secret.read_text() == "kept", "a link instead of the log is not followed"
    assert contents(tmp_path / "out") == calm


@pytest.mark.parametrize("name", ["responses.jsonl", "judgements.jsonl"])
def test_the_last_line_torn_at_every_byte(
    cli: Cli, command: list[object], calm: dict[str, bytes], tmp_path: Path, faults: FaultRecorder, name: str
) -> None:
    from eidolon.benchmark.store.batch_file import BatchFile
    from eidolon.scorers.core.types import Judgement, Response

    record = Response if name == "responses.jsonl" else Judgement
    whole = calm[name]
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    path = tmp_path / name
    torn = lost = doubled = healed = 0
    for length in range(last, len(whole)):
        path.write_bytes(whole[:length])
        file: BatchFile[Response] | BatchFile[Judgement] = BatchFile(path, record, KEYS, 4)  # type: ignore[type-var]
        kept = [(line.sample_id, line.generation) for line in file.records]
        # Whole batches are kept in order; the next one begins where they end.
        torn += 1
        lost += kept != KEYS[: len(kept)] or len(kept) != 8
        doubled += len(kept) - len(set(kept))
        healed += path.read_bytes() == b"".join(line + b"\n" for line in whole.split(b"\n")[:8])
    faults.record(f"last line of {name} torn", injected=torn, lost=lost, doubled=doubled, healed=healed)
    assert healed == torn == len(whole) - last

    # The same through the whole program, at a few of these positions.
    out = tmp_path / "out"
    assert cli(*command, out).code == 0
    folder = run_folder(out)
    places = range(last, len(whole), max(1, (len(whole) - last) // 4))
    ended = 0
    for length in places:
        (folder / name).write_bytes(whole[:length])
        (folder / "scores.json").unlink()
        assert cli(*command, out).code == 0
        ended += contents(out) == calm
    faults.after(f"last line of {name} torn, run again", folder, KEYS, injected=len(places), healed=ended)
    assert ended == len(places)


TEARABLE: dict[str, Callable[[Path], Path]] = {
    "run.log": lambda folder: folder / "run.log",
    ".scores.json.tmp": lambda folder: folder / ".scores.json.tmp",
}


@pytest.mark.parametrize("name", TEARABLE)
def test_other_files_that_a_kill_can_tear(
    cli: Cli, command: list[object], calm: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    assert cli(*command, out).code == 0
    folder = run_folder(out)
    with TEARABLE[name](folder).open("ab") as stream:
        stream.write(b'{"time": "2026')
    assert cli(*command, out).code == 0
    assert contents(out) == calm
    lines = (folder / "run.log").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "session ended", "a torn line is ended"
    assert not list(folder.glob(".*.tmp"))


HOLD = """
import sys, time
from pathlib import Path
from eidolon.benchmark.store.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_two_runs_at_once(
    cli: Cli, command: list[object], calm: dict[str, bytes], tmp_path: Path, faults: FaultRecorder
) -> None:
    """The second run names the holder of the folder and changes nothing. When the first is gone, it continues."""
    out = tmp_path / "out"
    folder = out / run_folder(tmp_path / "calm").name
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    tries = 3
    for _ in range(tries):
        result = cli(*command, out)
        assert result.code == 2
        assert f"is being written by process {holder.pid} on " in result.err
        assert sorted(path.name for path in folder.iterdir()) == [".lock", ".lock.holder"]
    holder.kill()
    holder.communicate()
    assert cli(*command, out).code == 0
    assert not (folder / ".lock.holder").exists()
    healed = contents(out) == calm
    faults.after("two runs into one folder", folder, KEYS, injected=tries, healed=tries * healed)
    assert healed
