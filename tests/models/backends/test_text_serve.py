"""`transformers serve` with a tiny random chat model as the language model of the judges `qa` and `extract`."""

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

import pytest

from eidolon.benchmark.tasks.plugins import make_judge
from eidolon.models.backends.text_models import language_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response
from tests.language_models import save_llama

START_S = 300
TEXT = Response(sample_id="0", image_id=0, response="A dog stands on the grass.")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The value of `-J models=` that names the served model."""
    folder = save_llama(tmp_path_factory.mktemp("served") / "tiny-chat", seed=3)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve",
        "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", folder.name,
    ]  # fmt: skip
    with (folder.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder.parent,
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            process_group=0,
        )
        try:
            deadline = time.monotonic() + START_S
            while not _answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None, (folder.parent / "log").read_text()
                assert time.monotonic() < deadline, (folder.parent / "log").read_text()
                time.sleep(0.2)
            yield f"openai/{folder.name}@http://127.0.0.1:{port}/v1"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_qa_gets_an_answer_to_every_question(served: str) -> None:
    judge = make_judge("qa", {"models": served, "formats": "1b", "categories": "dog,cat,cup"})
    (judgement,) = judge.judge([TEXT])
    assert judgement.unscored is None
    assert 0 <= judgement.unreadable <= 3
    assert judgement.votes is not None
    assert set(judgement.votes) <= {"dog", "cat", "cup"}
    # A random model fails the built-in questions, and the judge says so.
    assert "is unfit" in judge.weaknesses()[0]  # type: ignore[attr-defined]


def test_extract_says_that_the_reply_is_no_list(served: str) -> None:
    """The server ignores `response_format`, so nothing constrains a random model to the schema."""
    (judgement,) = make_judge("extract", {"models": served, "timeout": "300"}).judge([TEXT])
    assert judgement.unscored is not None
    assert 'not {"objects": [strings]}' in judgement.unscored


def test_replies_are_those_of_the_model_in_this_process(served: str, tmp_path: Path) -> None:
    (here,) = language_models(f"transformers/{save_llama(tmp_path / 'tiny-chat', seed=3)}", {})
    (there,) = language_models(served, {})
    prompts = ["a dog stands on the grass .", "is there a cup in this image ?"]
    replies = [reply.text for reply in here.reply(prompts, max_new_tokens=6)]
    # The endpoint's text is stripped.
    assert [(reply.text or "").strip() for reply in there.reply(prompts, max_new_tokens=6)] == [
        (text or "").strip() for text in replies
    ]


def test_the_server_gives_no_odds(served: str) -> None:
    with pytest.raises(UserError, match="gives no probabilities; give -J answers=words"):
        make_judge("qa", {"models": served, "answers": "odds"})
