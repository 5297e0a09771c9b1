"""The shipped checkpoint behind real servers answers as it does in this process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.verify.doctor.parity import as_reference, ask, compare
from eidolon.benchmark.verify.doctor.subject import make_requests
from eidolon.models.backends.registry import load_model
from eidolon.models.base.shipped import shipped_models
from tests.benchmark.conftest import Cli, read_lines

CHECKPOINT = shipped_models()["scenes-small"]
START_S = 300
LIMIT = 4
QUIET_VLLM = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Server:
    """A server on loopback, in a process group of its own, which can be killed and started again."""

    def __init__(self, command: list[str], folder: Path) -> None:
        """Take the command, `PORT` in place of the port, and a folder for what it says. Starts nothing."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._command = [str(self.port) if word == "PORT" else word for word in command]
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def model(self) -> str:
        """Its model's name on the command line."""
        return f"openai/{CHECKPOINT.name}@http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Return when it answers."""
        with self._log.open("ab") as stream:
            self._process = subprocess.Popen(
                self._command,
                # The checkpoint is named relative to its folder: the name ends up in that of the run folder.
                cwd=CHECKPOINT.parent,
                stdout=stream,
                stderr=stream,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **QUIET_VLLM},
                process_group=0,
            )
        deadline = time.monotonic() + START_S
        while not _answers(f"http://127.0.0.1:{self.port}/health"):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill it with all its processes; vLLM's engine would outlive the server."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="module")
def transformers_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The checkpoint behind `transformers serve`; the model's name on the command line."""
    command = [
        sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve",
        "--host", "127.0.0.1", "--port", "PORT", "--device", "cpu", CHECKPOINT.name,
    ]  # fmt: skip
    server = Server(command, tmp_path_factory.mktemp("transformers"))
    try:
        server.start()
        yield server.model
    finally:
        server.kill()


@pytest.fixture(scope="module")
def vllm_serve(with_vllm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The checkpoint behind the server of `vllm serve`. The command itself looks for a package named vllm, which the
    CPU build is not."""
    command = [
        sys.executable, "-c", "from vllm.entrypoints.launchers.api_server.entry import main; main()",
        "--host", "127.0.0.1", "--port", "PORT", "--model", CHECKPOINT.name, "--dtype", "float32",
        "--enforce-eager", "--no-enable-prefix-caching", "--no-enable-chunked-prefill",
        "--limit-mm-per-prompt", '{"image": 1}',
    ]  # fmt: skip
    server = Server(command, tmp_path_factory.mktemp("vllm"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


def test_transformers_serve_answers_as_the_transformers_backend(
    cli: Cli, transformers_serve: str, tmp_path: Path
) -> None:
    """Greedy, and lossless pictures: the same text, limits and counts of tokens. What the server does not tell is
    where each token ends."""
    for model, out in ((transformers_serve, "served"), (CHECKPOINT.name, "here")):
        result = cli(
            "run", "--model", model, "--temperature", 0, "--limit", LIMIT, "--max-new-tokens", 80,
            "--out", tmp_path / out,
        )  # fmt: skip
        assert result.code == 0, result.err
    served, here = (
        read_lines(next((tmp_path / out).glob("*/responses.jsonl"))) for out in ("served", "here")
    )
    assert len(served) == LIMIT
    assert all(row.pop("token_ends") is None for row in served)
    assert all(row.pop("token_ends") is not None for row in here)
    # 80 tokens end some descriptions in time and cut others off.
    assert {row["finish_reason"] for row in here} == {"stop", "length"}
    assert served == here


def test_a_served_model_keeps_parity(transformers_serve: str) -> None:
    """Of 40 greedy answers at least 95 % are equal, several at once or not, and the others part at near-ties."""
    reference = load_model(CHECKPOINT.name)
    asked = make_requests(load_dataset("scenes", limit=40, seed=7, options={}), 40, max_new_tokens=64, seed=0)
    expected = ask(reference, asked, batch=1)
    found = ask(load_model(transformers_serve, {"concurrency": "2"}), asked, batch=8)
    assert all(answer.tokens is None for answer in found)
    parity = compare(expected, found, as_reference(reference))
    print(f"transformers serve: {parity.equal} of {parity.n} equal, largest gap {parity.largest_gap}")
    assert parity.equal >= 0.95 * parity.n
    assert parity.same, parity.differences


def test_the_doctor_examines_a_served_model(cli: Cli, transformers_serve: str) -> None:
    """Against the checkpoint in this process. That the server's seed is the whole process's is found."""
    result = cli(
        "doctor", "--model", transformers_serve, "--against", CHECKPOINT.name, "--samples", 4,
        "--max-new-tokens", 40, "--json",
    )  # fmt: skip
    found = {check["name"]: check for check in json.loads(result.out)["checks"]}
    verdicts = {name: check["verdict"] for name, check in found.items()}
    assert verdicts.pop("seeds") == "differs"
    assert (result.code, {*verdicts.values()}) == (3, {"ok", "not applicable"}), verdicts
    assert [name for name, verdict in verdicts.items() if verdict == "not applicable"] == [
        "weights", "precision", "prefix cache",
    ]  # fmt: skip
    assert found["against"]["equal"] == 4


def test_vllm_serve_answers_as_the_transformers_backend(cli: Cli, vllm_serve: Server, tmp_path: Path) -> None:
    """Greedy, and lossless pictures: the same text, limits and counts of tokens; near-ties may break otherwise."""
    for model, out in ((vllm_serve.model, "served"), (CHECKPOINT.name, "here")):
        result = cli(
            "run", "--model", model, "--temperature", 0, "--limit", 20, "--max-new-tokens", 80,
            "--resamples", 20, "--out", tmp_path / out,
        )  # fmt: skip
        assert result.code == 0, result.err
    served, here = (
        read_lines(next((tmp_path / out).glob("*/responses.jsonl"))) for out in ("served", "here")
    )
    assert all(row.pop("token_ends") is None for row in served)
    assert all(row.pop("token_ends") is not None for row in here)
    assert {row["finish_reason"] for row in served} == {"stop", "length"}
    assert [row["prompt_tokens"] for row in served] == [row["prompt_tokens"] for row in here]
    assert sum(a == b for a, b in zip(served, here, strict=True)) >= 19


def test_vllm_serve_answers_questions(cli: Cli, vllm_serve: Server, tmp_path: Path) -> None:
    scores = []
    for model, out in ((vllm_serve.model, "served"), (CHECKPOINT.name, "here")):
        result = cli(
            "run", "--task", "probe", "--model", model, "--limit", 6, "--resamples", 20, "--out", tmp_path / out,
        )  # fmt: skip
        assert result.code == 0, result.err
        scores.append(json.loads(next((tmp_path / out).glob("*/scores.json")).read_text()))
    assert scores[0]["n"]["scored"] > 30
    assert scores[0]["metrics"] == scores[1]["metrics"]


def test_a_run_goes_on_when_vllm_serve_was_killed_and_is_back(
    cli: Cli, vllm_serve: Server, tmp_path: Path
) -> None:
    """Sampled, so that a healed answer shows that it was asked for with the seed it had."""

    def arguments(out: str) -> list[object]:
        return [
            "run", "--model", vllm_serve.model, "--limit", 24, "--batch-size", 4, "--max-new-tokens", 60,
            "--resamples", 20, "--out", tmp_path / out, "-M", "retries=1", "-M", "timeout=60",
        ]  # fmt: skip

    def folder(out: str) -> Path:
        return next(path.parent for path in (tmp_path / out).glob("*/run.json"))

    def kill_after_the_first_batch() -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if any(path.stat().st_size for path in (tmp_path / "killed").glob("*/responses.jsonl")):
                break
            time.sleep(0.005)
        vllm_serve.kill()

    assert cli(*arguments("whole")).code == 0
    killer = Thread(target=kill_after_the_first_batch)
    killer.start()
    result = cli(*arguments("killed"))
    killer.join()
    assert result.code == 3, result.err
    rows = read_lines(folder("killed") / "responses.jsonl")
    assert [row["sample_id"] for row in rows] == [f"scenes-0-{index}" for index in range(24)]
    failed = [row for row in rows if row["response"] is None]
    assert 4 <= len(failed) <= 20
    assert all(row["transient"] for row in failed)

    vllm_serve.start()
    assert cli(*arguments("killed")).code == 0
    whole, healed = (read_lines(folder(out) / "responses.jsonl") for out in ("whole", "killed"))
    assert [row["sample_id"] for row in healed] == [row["sample_id"] for row in whole]
    assert all(row["error"] is None for row in healed)
    # What else was in the server's batch may round sums otherwise.
    assert sum(a == b for a, b in zip(whole, healed, strict=True)) >= 22
