"""A run on a real Ray cluster of two raylets: the bytes of one process, whatever is killed."""

import gc
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from eidolon.benchmark.engine import ray_pool
from eidolon.benchmark.engine.coordinator import ProcessError
from eidolon.benchmark.run.planning import load_run_settings, make_plan
from tests.benchmark.conftest import Cli
from tests.benchmark.engine.test_processes import FILES, PROGRAM, same
from tests.benchmark.run.test_resume import count_lines

PATIENCE_S = 400
"""Seconds for a command: on a busy machine the processes of a cluster take long to start."""
OBJECT_STORE = 80 << 20
"""Bytes: the smallest that Ray takes is 75 MiB."""

MODEL = """
import os, time
from eidolon.scorers.core.types import Response

class Dice:
    def __init__(self, fail=""):
        self.fail = fail

    def describe(self):
        return {"backend": "dice"}

    def generate(self, requests):
        time.sleep(float(os.environ.get("EIDOLON_TEST_SLOW", "0")))
        if self.fail == "generate":
            raise RuntimeError("cannot be done")
        for request in requests:
            dice = request.decoding.seed
            if self.fail == "some" and dice % 5 == 0:
                yield Response(sample_id=request.sample_id, image_id=request.image_id, response=None,
                               generation=request.generation, error="five")
            else:
                yield f"A {('dog', 'cat', 'bear')[dice % 3]} and a {('cup', 'car')[dice % 2]} are here."
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two raylets with one CPU each. Ray reports nothing over the network."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray_cluster = pytest.importorskip("ray.cluster_utils")
    # The default takes 15 s to notice a lost node.
    checks = {f"health_check_{name}": value for name, value in (("period_ms", 500), ("failure_threshold", 4))}
    arguments = {"num_cpus": 1, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    started = ray_cluster.Cluster(
        initialize_head=True, head_node_args={**arguments, "_system_config": checks}
    )
    try:
        started.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)
        yield started
    finally:
        started.shutdown()


@pytest.fixture
def here(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> Path:
    """A working folder with a model and pictures, in an environment that names the cluster."""
    (tmp_path / "dice.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    return tmp_path


def asked(out: str, *more: str) -> list[str]:
    """Return a command with 200 requests in 25 batches."""
    return [
        "run", "--model", "python/dice.py:Dice", "--dataset", "folder/pictures", "--out", out, "--no-cache",
        "--batch-size", "8", "--generations", "20", "--temperature", "1", "--resamples", "50", *more,
    ]  # fmt: skip


def done(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*PROGRAM, *command], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


RUN = "python-dice.py-Dice"
ON_RAY = ("--executor", "ray")


def test_actors_write_what_one_process_writes_and_resume_it(here: Path, cli: Cli) -> None:
    assert cli(*asked("one", "-M", "fail=some")).code in (0, 3)
    one, other = here / "one" / RUN, here / "other" / RUN
    found = done(*asked("other", "-M", "fail=some", *ON_RAY))
    assert found.returncode in (0, 3), found.stderr
    assert same(one, other)
    assert "five" in (one / "responses.jsonl").read_text()
    records = [json.loads((folder / "run.json").read_text()) for folder in (one, other)]
    assert [record["sessions"][0]["processes"] for record in records] == [1, 2]
    assert records[0]["config"] == records[1]["config"]
    assert records[0]["model"] == records[1]["model"]
    # Cut in the middle of a batch, and continued by another number of actors.
    lines = (other / "responses.jsonl").read_bytes().splitlines(keepends=True)
    (other / "responses.jsonl").write_bytes(b"".join(lines[:70]) + lines[70][:9])
    for name in ("judgements.jsonl", "scores.json", "report.html"):
        (other / name).unlink()
    again = done(*asked("other", "-M", "fail=some", *ON_RAY, "--actors", "1"))
    assert again.returncode in (0, 3), again.stderr
    assert same(one, other)
    sessions = json.loads((other / "run.json").read_text())["sessions"]
    assert [session["processes"] for session in sessions] == [2, 1]


def test_a_mistake_in_an_actor_is_one_line(here: Path) -> None:
    wrong = done(*asked("out", "-M", "fail=generate", *ON_RAY))
    assert (wrong.returncode, wrong.stdout) == (2, ""), wrong.stderr
    assert [line for line in wrong.stderr.splitlines() if "error:" in line] == wrong.stderr.splitlines()[-1:]
    assert "cannot be done" in wrong.stderr


def test_a_killed_raylet_loses_and_doubles_nothing(here: Path, cli: Cli, cluster: Any) -> None:
    assert cli(*asked("one")).code == 0
    responses = here / "killed" / RUN / "responses.jsonl"
    (node,) = cluster.worker_nodes
    command = psutil.Popen(
        [*PROGRAM, *asked("killed", *ON_RAY)], env={**os.environ, "EIDOLON_TEST_SLOW": "0.15"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while count_lines(responses) < 16 and command.poll() is None:
            assert time.monotonic() < deadline, "timed out"
            time.sleep(0.02)
        assert command.poll() is None
        assert count_lines(responses) < 160
        cluster.remove_node(node, allow_graceful=False)
        _, err = command.communicate(timeout=PATIENCE_S)
    finally:
        if command.is_running():
            command.kill()
    assert command.returncode == 0, err
    assert same(here / "one" / RUN, responses.parent, FILES)
    record = json.loads((responses.parent / "run.json").read_text())
    assert [session["status"] for session in record["sessions"]] == ["success"]
    assert "actor lost" in (responses.parent / "run.log").read_text()


def test_a_bug_in_an_actor_keeps_its_traceback() -> None:
    def wrong() -> None:
        raise KeyError("of the actor")

    result, text = ray_pool.attempt(wrong)
    assert result is None
    with pytest.raises(ProcessError, match=r"in an actor on .*of the actor") as found:
        ray_pool.ActorFailure.model_validate_json(text).reraise()
    assert "in wrong" in str(found.value.__cause__)


def test_a_pipeline_is_closed_together_with_its_threads() -> None:
    ended = []

    def busy() -> None:
        time.sleep(0.5)
        ended.append(threading.current_thread().name)

    names = [f"{name}-of-a-crowded-machine" for name in ray_pool.THREADS]
    for name in names:
        threading.Thread(target=busy, name=name, daemon=True).start()
    opened = (number for number in range(3))
    ray_pool.end_pipeline(opened)
    assert sorted(ended) == sorted(names)
    assert next(opened, None) is None


THREADS_OF_A_PIPELINE = """
import threading
from eidolon.benchmark.engine.ray_cluster import ray_pool
from eidolon.benchmark.engine.ray_pool import ActorOptions
with ray_pool(ActorOptions()) as pool:
    before = {thread.name for thread in threading.enumerate()}
    results = pool.map(lambda batch: b"", 20)
    next(results)
    print("\\n".join({thread.name for thread in threading.enumerate()} - before))
"""


def test_the_threads_of_ray_data_are_known(here: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", THREADS_OF_A_PIPELINE], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert found.returncode == 0, found.stderr
    # The last waits for blocks that nothing sends any more, and does not use Ray.
    assert {name for name in found.stdout.splitlines() if not name.startswith(ray_pool.THREADS)} == {
        "Prefetcher"
    }
    assert all(name in found.stdout for name in ray_pool.THREADS)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (["--actors", "2"], "--actors: is for --executor ray"),
        (["--executor", "ray", "--actors", "5-2"], "must be N or MIN-MAX"),
        (["--executor", "ray", "--processes", "2"], "--processes: is for one machine"),
        (["--executor", "ray"], "no Ray cluster answers there"),
    ],
)
def test_wrong_settings_are_one_line(
    more: list[str],
    what: str,
    picture_folder: Path,
    replay_file: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    folder = f"folder/{picture_folder}"
    found = cli("run", "--model", f"replay/{replay_file}", "--dataset", folder, "--out", "nowhere", *more)
    assert (found.code, what in found.err, len(found.err.splitlines())) == (2, True, 1), found.err


def test_a_drawn_dataset_and_the_cache_can_be_sent() -> None:
    """The pictures of Scenes are in a temporary file, and the cache has an open database: both stay here."""
    given = load_run_settings(None, {"models": ["scenes-small"], "limit": 3})
    plan = make_plan(given, Path("out"))
    ((_, worker),) = plan.runs
    names = [sample.sample_id for sample in plan.source.samples]
    pictures = [worker.picture(name) for name in names]
    content = pickle.dumps(worker)
    del worker, plan
    gc.collect()
    sent = pickle.loads(content)
    assert [sent.picture(name) for name in names] == pictures
    assert len(pictures) == 3
