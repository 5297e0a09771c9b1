"""Measures how `eidolon score` grows with the number of responses: wall time, CPU time, peak memory.

    python bench/score_growth.py --responses FILE --objects FILE [--sizes N,N,…] [--metric NAME,…]
        [--reading careful|original] [--processes N] [--json FILE]

The responses of the file are taken in turn under new ids of samples and images, each image with the truth of the
original. So the truth grows with the responses. The exponents are slopes of log(time) and log(memory) on log(size),
by least squares: over all sizes, and between the two largest, where the start of the program weighs least.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

SIZES = (1_000, 10_000, 100_000)
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Measured:
    """One call of `eidolon score`."""

    responses: int
    wall_s: float
    cpu_s: float
    peak_mib: float
    """In the process with the most memory."""
    peak_all_mib: float
    """In all processes together, sampled; pages that they share count once for each."""


def main() -> None:
    """Print a table and the exponents, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument(
        "--sizes", type=lambda text: [int(part) for part in text.split(",")], default=[*SIZES]
    )
    parser.add_argument("--metric", default="chair")
    parser.add_argument("--reading", default="careful")
    parser.add_argument("--processes", default="1")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    measured = []
    print(f"{'responses':>10} {'wall s':>9} {'CPU s':>9} {'peak MiB':>9} {'all MiB':>9}", flush=True)
    for size in asked.sizes:
        with tempfile.TemporaryDirectory() as folder:
            files = replayed(asked.responses, asked.objects, size, Path(folder))
            options = ["--metric", asked.metric, "-J", f"reading={asked.reading}"]
            found = measure(size, [*files, *options, "--processes", asked.processes], Path(folder) / "run")
        measured.append(found)
        print(
            f"{size:>10} {found.wall_s:>9.1f} {found.cpu_s:>9.1f} {found.peak_mib:>9.0f} {found.peak_all_mib:>9.0f}",
            flush=True,
        )
    report = {"settings": _settings(asked), "measured": [asdict(one) for one in measured]}
    if len(measured) > 1:
        report["exponents"] = exponents(measured)
        print(json.dumps(report["exponents"], indent=2))
    if asked.json is not None:
        asked.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def replayed(responses: Path, objects: Path, size: int, folder: Path) -> list[str]:
    """Write `size` responses and the truth of their images; return the options that name the files."""
    with responses.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    with objects.open(encoding="utf-8") as file:
        truth = {row["image_id"]: row["objects"] for row in map(json.loads, file)}
    paths = folder / "responses.jsonl", folder / "objects.jsonl"
    with paths[0].open("w", encoding="utf-8") as texts, paths[1].open("w", encoding="utf-8") as known:
        for number in range(size):
            row = rows[number % len(rows)]
            named = {"image_id": number, "sample_id": f"replay-{number}", "response": row["response"]}
            texts.write(json.dumps(named) + "\n")
            known.write(json.dumps({"image_id": number, "objects": truth[row["image_id"]]}) + "\n")
    return ["--responses", str(paths[0]), "--objects", str(paths[1])]


def measure(size: int, options: Sequence[str], out: Path) -> Measured:
    """Run `eidolon score` once."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "eidolon.benchmark", "score", *options, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peaks = {"one": 0.0, "all": 0.0}
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks), daemon=True)
    watcher.start()
    code = process.wait()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        raise SystemExit(f"eidolon score ended with the exit code {code}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(size, time.monotonic() - started, cpu, peaks["one"], peaks["all"])


def _watch(root: int, peaks: dict[str, float]) -> None:
    """Keep the largest memory of a process and those that it started, until it ends."""
    while True:
        try:
            family = [root, *_children(root)]
            high = [_status(pid, "VmHWM") for pid in family]
            now = [_status(pid, "VmRSS") for pid in family]
        except FileNotFoundError:
            return
        if not high[0]:  # a process that has ended has no memory
            return
        peaks["one"] = max(peaks["one"], *high)
        peaks["all"] = max(peaks["all"], sum(now))
        time.sleep(POLL_S)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _status(pid: int, field: str) -> float:
    """Return a field of a process's status in MiB; 0 for a child that has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    line = next((line for line in text.splitlines() if line.startswith(field)), f"{field}: 0 kB")
    return int(line.split()[1]) / 1024


def exponents(measured: Sequence[Measured]) -> Mapping[str, Mapping[str, float]]:
    """Return the slopes of log(time) and log(memory) on log(size)."""
    found = {}
    for name in ("wall_s", "cpu_s", "peak_mib"):
        sizes = np.log([one.responses for one in measured])
        values = np.log([getattr(one, name) for one in measured])
        found[name] = {
            "all_sizes": round(float(np.polyfit(sizes, values, 1)[0]), 3),
            "two_largest": round(float((values[-1] - values[-2]) / (sizes[-1] - sizes[-2])), 3),
        }
    return found


def _settings(asked: argparse.Namespace) -> dict[str, object]:
    named = {name: getattr(asked, name) for name in ("metric", "reading", "processes")}
    return {**named, "resamples": "default", "cores": os.cpu_count()}


if __name__ == "__main__":
    main()
