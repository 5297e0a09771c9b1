"""The shipped checkpoint behind a real server answers as it does in this process."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

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
