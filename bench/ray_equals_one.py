"""Replays responses by one process and by the actors of a Ray cluster of two raylets, and compares the run folders.

    python bench/ray_equals_one.py [--samples 10000] [--kill] [--json FILE]

The cluster is started here, on this machine. `--kill` kills one raylet when a fifth of the responses is written. Every
response and judgement must be the same byte for byte. The output has the seconds of both runs, and of their stages.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

FILES = ("samples.jsonl", "responses.jsonl", "judgements.jsonl", "scores.json")
NAMES = ("dog", "cat", "bear", "cup", "car", "bus", "chair", "person")
OBJECT_STORE = 100 << 20
BATCH = 16


def write_inputs(folder: Path, samples: int) -> None:
    """Write a folder of pictures, all links to one, with their objects and a file of responses."""
    pictures = folder / "pictures"
    pictures.mkdir()
    Image.new("RGB", (8, 8), (20, 90, 40)).save(pictures / "0.png")
    with (
        (pictures / "objects.jsonl").open("w", encoding="utf-8") as objects,
        (folder / "answers.jsonl").open("w", encoding="utf-8") as answers,
    ):
        for index in range(samples):
            found = [NAMES[index % 8], NAMES[index * 5 % 7]]
            row = {"image_id": index, "image": "0.png", "objects": found}
            objects.write(json.dumps(row) + "\n")
            named = " and a ".join(NAMES[(index * k + k) % 8] for k in (1, 3, 5))
            text = f"Picture {index} shows a {named}. A {found[0]} is in front."
            answers.write(json.dumps({"image_id": index, "response": text}) + "\n")


def command(out: str) -> list[str]:
    """Return the command of a run."""
    return [
        sys.executable, "-m", "eidolon.benchmark", "run", "--model", "replay/answers.jsonl", "--dataset",
        "folder/pictures", "--batch-size", str(BATCH), "--metric", "chair,objects", "--no-cache", "--out", out,
    ]  # fmt: skip


def run(words: list[str], folder: Path, environment: dict[str, str], watch: Any = None) -> float:
    """Run a command to its end and return its seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(
        words, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    if watch is not None:
        watch(process)
    if process.wait():
        sys.exit(f"{' '.join(words)}: exit code {process.returncode}")
    return time.perf_counter() - began


def main() -> None:
    """Run both, compare, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, arguments.samples)
        one = run(command("one"), folder, {})
        checks = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
        store = {"num_cpus": 1, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args={**store, "_system_config": checks})
        node = cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)
        run_folder = next((folder / "one").glob("*/run.json")).parent.name
        responses = folder / "ray" / run_folder / "responses.jsonl"

        def kill(process: "subprocess.Popen[bytes]") -> None:
            while process.poll() is None and lines(responses) < arguments.samples // 5:
                time.sleep(0.01)
            cluster.remove_node(node, allow_graceful=False)

        try:
            ray = run(
                [*command("ray"), "--executor", "ray"],
                folder,
                {"RAY_ADDRESS": cluster.address},
                kill if arguments.kill else None,
            )
        finally:
            cluster.shutdown()
        same = {
            file: (folder / "one" / run_folder / file).read_bytes() == (responses.parent / file).read_bytes()
            for file in FILES
        }
        stages = {
            out: stage_seconds(folder / out / run_folder / "run.log", seconds)
            for out, seconds in (("one", one), ("ray", ray))
        }
        lost = (responses.parent / "run.log").read_text(encoding="utf-8").count('"actor lost"')
    found = {
        "samples": arguments.samples,
        "one_process": stages["one"],
        "ray": stages["ray"],
        "actors_lost": lost,
        "equal": same,
    }
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if not all(same.values()):
        sys.exit("the run folders differ")


def stage_seconds(log: Path, whole: float) -> dict[str, float]:
    """Return the seconds of each stage of a run, from the times of its log.

    `start` is all that is neither asking, judging nor scoring: imports, planning, the cluster's actors, the report.
    """
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    times = [
        datetime.fromisoformat(event["time"]).timestamp()
        for event in events
        if event["event"] == "batch answered"
    ]
    judged = sum(event["fields"]["seconds"] for event in events if event["event"] == "batch judged")
    scored = sum(event["fields"]["seconds"] for event in events if event["event"] == "scored")
    answered = times[-1] - times[0]
    found = {"whole": whole, "answer": answered, "judge": judged, "score": scored}
    return {name: round(value, 2) for name, value in found.items()} | {
        "start": round(whole - answered - judged - scored, 2)
    }


def lines(path: Path) -> int:
    """Return the number of lines of a file that may not exist yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


if __name__ == "__main__":
    main()
