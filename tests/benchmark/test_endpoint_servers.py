"""The shipped checkpoint behind a real server answers as it does in this process."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidolon.benchmark.datasets import load_dataset
from eidolon.benchmark.doctor.subject import make_requests
from eidolon.benchmark.parity import as_reference, ask, compare
from eidolon.models.registry import load_model
from eidolon.models.shipped import shipped_models
from tests.benchmark.conftest import Cli, read_lines

CHECKPOINT = shipped_models()["scenes-small"]
START_S = 300
LIMIT = 4


@pytest.fixture(scope="module")
def transformers_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the checkpoint with `transformers serve`; the model's name on the command line."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    # The checkpoint is named relative to its folder: the name ends up in that of the run folder.
    command = [
        sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve",
        "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", CHECKPOINT.name,
    ]  # fmt: skip
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=CHECKPOINT.parent,
            stdout=stream,
            stderr=stream,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        deadline = time.monotonic() + START_S
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"openai/{CHECKPOINT.name}@http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


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
