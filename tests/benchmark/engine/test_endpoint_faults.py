"""Runs against an endpoint that fails in many ways: nothing is lost or doubled, and the same command recovers."""

import json
import logging
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eidolon.models.backends import endpoint
from tests.benchmark.conftest import Cli, Result, read_lines
from tests.chat_server import (
    Answer,
    Behaviour,
    ChatServer,
    chat_server,
    completion,
    describe,
    packed_gibibyte,
    picture_of,
)
from tests.fault_table import FaultRecorder, tally

pytestmark = pytest.mark.faults

KEYS = [(str(index), 0) for index in range(10)]
KEY = "sk-very-secret-0123456789"
FILES = ("responses.jsonl", "judgements.jsonl", "scores.json", "samples.jsonl")

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT_S", 0.01)


def arguments(
    server: ChatServer, pictures: Path, out: Path, *, retries: int, timeout: int = 5
) -> list[object]:
    return [
        "run", "--model", server.name, "--dataset", f"folder/{pictures}", "--out", out, "--batch-size", 4,
        "--temperature", 0, "--resamples", 20, "-M", f"retries={retries}", "-M", f"timeout={timeout}",
    ]  # fmt: skip


@pytest.fixture
def run(cli: Cli, picture_folder: Path, tmp_path: Path) -> Run:
    """Run a server's model on the ten pictures, in batches of four."""

    def call(
        server: ChatServer, *more: object, out: str = "out", retries: int = 1, timeout: int = 5
    ) -> Result:
        given = arguments(server, picture_folder, tmp_path / out, retries=retries, timeout=timeout)
        return cli(*given, *more)

    return call


def folder_of(out: Path) -> Path:
    return next(path.parent for path in out.glob("*/run.json"))


def sample_of(body: dict[str, Any]) -> int:
    red: int = picture_of(body).getpixel((0, 0))[0]  # type: ignore[index, assignment]
    return red // 20


def expect_whole(folder: Path, *, failed: int) -> list[dict[str, Any]]:
    """Check that every sample occurs once, that failures have a reason, and that the totals add up."""
    rows = read_lines(folder / "responses.jsonl")
    assert [row["sample_id"] for row in rows] == [str(index) for index in range(10)]
    judged = read_lines(folder / "judgements.jsonl")
    assert [row["sample_id"] for row in judged] == [str(index) for index in range(10)]
    for row, judgement in zip(rows, judged, strict=True):
        assert (row["response"] is None) == bool(row["error"])
        assert judgement["unscored"] == row["error"]
        if row["response"]:
            assert row["response"] == f"A dog and a cat number {row['sample_id']} are on the lawn."
    assert sum(row["response"] is None for row in rows) == failed
    n = json.loads((folder / "scores.json").read_text())["n"]
    assert n == {"requested": 10, "samples": 10, "scored": 10 - failed, "unscored": failed}
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def on_three(answer: Answer) -> Behaviour:
    """Fail for the samples 2, 3 and 9, which are in two batches."""
    return lambda _, body: answer if sample_of(body) in (2, 3, 9) else describe(body)


FAULTS = {
    "500": (Answer(500, b"out of memory"), "answers 500: out of memory"),
    "429": (Answer(429, b"slow down", {"Retry-After": "0.2"}), "answers 429: slow down"),
    "hang": (Answer(hang_s=4), "no answer within 2 s"),
    "cut": (Answer(body=b"{" * 1000, cut=True), "cannot be reached"),
    "garbage": (
        Answer(body=b"<html>\x1b[31mbad gateway</html>"),
        "not a chat completion: <html> [31mbad gateway",
    ),
    "no body": (Answer(), "not a chat completion: it is empty"),
    "no choices": (Answer(body=b'{"choices": []}'), "not a chat completion"),
    "no text": (completion(None), "holds no text"),
    "200 kB": (completion("dog " * 50_000), "holds 200000 characters"),
    "200 kB of garbage": (Answer(body=b"\xff" * 200_000), "not a chat completion"),
    "a wait that ends beyond all dates": (
        Answer(429, b"later", {"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2300"}),
        "answers 429: later",
    ),
    "1 GiB, packed into 1 MB": (packed_gibibyte(), "is larger than 16 MiB"),
    "an unknown packing": (
        Answer(body=b"dog", headers={"Content-Encoding": "zstd"}),
        "is packed as 'zstd', which was not asked for",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_recorded_and_retried(run: Run, tmp_path: Path, fault: str, faults: FaultRecorder) -> None:
    answer, reason = FAULTS[fault]
    run = partial(run, timeout=2)
    with chat_server() as server:
        assert run(server, out="calm").code == 0
        calm = contents(folder_of(tmp_path / "calm"))
        server.behave = on_three(answer)
        assert run(server).code == 3
        folder = folder_of(tmp_path / "out")
        rows = expect_whole(folder, failed=3)
        assert {index for index, row in enumerate(rows) if row["error"]} == {2, 3, 9}
        assert all(reason in row["error"] and row["transient"] for row in rows if row["error"])
        assert run(server, "--max-unscored", 0.3).code == 0, "a retry without success changes nothing"
        assert read_lines(folder / "responses.jsonl") == rows

        server.behave = lambda _, body: describe(body)
        before = len(server.bodies)
        assert run(server).code == 0
        assert sorted(map(sample_of, server.bodies[before:])) == [2, 3, 9], "only what failed is asked again"
        healed = expect_whole(folder, failed=0)
        assert contents(folder) == calm
        before = len(server.bodies)
        assert run(server).code == 0
        assert len(server.bodies) == before, "a whole run asks nothing"
    failed = [index for index, row in enumerate(rows) if row["error"]]
    faults.after(
        f"endpoint: {fault}", folder, KEYS, injected=len(failed),
        healed=sum(healed[index]["response"] is not None for index in failed),
    )  # fmt: skip


def test_a_retry_sends_the_same_request(run: Run, tmp_path: Path) -> None:
    """A retry has the same seed, so that sampled answers are those of a run without faults."""
    by_sample: dict[int, set[int]] = {}

    def behave(number: int, body: dict[str, Any]) -> Answer:
        by_sample.setdefault(sample_of(body), set()).add(body["seed"])
        return Answer(500) if number < 9 else describe(body)

    with chat_server(behave) as server:
        assert run(server, "--temperature", 1).code == 3
        assert run(server, "--temperature", 1).code == 0
        assert run(server, "--temperature", 1, out="calm").code == 0
    assert {len(seeds) for seeds in by_sample.values()} == {1}
    assert len(set().union(*by_sample.values())) == 10
    assert contents(folder_of(tmp_path / "out")) == contents(folder_of(tmp_path / "calm"))


def test_a_permanent_failure_is_not_asked_again(run: Run, tmp_path: Path) -> None:
    with chat_server(on_three(Answer(413, b"picture too large"))) as server:
        assert run(server).code == 3
        rows = expect_whole(folder_of(tmp_path / "out"), failed=3)
        assert all("transient" not in row for row in rows)
        before = len(server.bodies)
        assert run(server).code == 3
        assert len(server.bodies) == before


def test_a_server_that_dies_and_comes_back(run: Run, tmp_path: Path, faults: FaultRecorder) -> None:
    with chat_server() as server:
        answered = Counter[int]()

        def behave(_: int, body: dict[str, Any]) -> Answer:
            if sum(answered.values()) >= 5:
                server.die()
            answered[sample_of(body)] += 1
            return describe(body)

        server.behave = behave
        assert run(server, "-M", "concurrency=1").code == 3
        folder = folder_of(tmp_path / "out")
        rows = expect_whole(folder, failed=5)
        assert [row["response"] is None for row in rows] == [False] * 5 + [True] * 5
        assert "cannot be reached" in rows[5]["error"]
        scores = (folder / "scores.json").read_bytes()

        result = run(server)
        assert result.code == 2, "the server is still down"
        assert "cannot be reached" in result.err
        assert (folder / "scores.json").read_bytes() == scores
        expect_whole(folder, failed=5)

        server.behave = lambda _, body: describe(body)
        server.start()
        before = len(server.bodies)
        assert run(server).code == 0
        assert sorted(map(sample_of, server.bodies[before:])) == [5, 6, 7, 8, 9]
        expect_whole(folder, failed=0)
    faults.after("endpoint: dies and comes back", folder, KEYS, healed=int(not tally(folder, KEYS).unscored))


def test_a_server_that_is_back_within_the_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: FaultRecorder
) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT_S", 0.5)
    with chat_server() as server:

        def behave(number: int, body: dict[str, Any]) -> Answer:
            if number == 6:
                server.die()
                server.start()
            return describe(body)

        server.behave = behave
        assert run(server, retries=3).code == 0
        folder = folder_of(tmp_path / "out")
        expect_whole(folder, failed=0)
    faults.after("endpoint: back within the run", folder, KEYS, healed=int(not tally(folder, KEYS).unscored))


def test_an_endpoint_that_is_not_there(run: Run, tmp_path: Path) -> None:
    server = ChatServer()
    result = run(server)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert f"--model {server.name}: the endpoint cannot be reached" in result.err
    assert not (tmp_path / "out").exists()


def test_a_wrong_address_is_found_before_anything_is_done(run: Run, tmp_path: Path) -> None:
    server = ChatServer()
    wrong = "openai/tiny@127.0.0.1"
    result = run(server, "--model", wrong, "--dry-run")
    assert result.code == 2
    assert "write openai/MODEL@URL" in result.err
    assert not (tmp_path / "out").exists()


def test_a_model_that_the_server_does_not_have(run: Run, tmp_path: Path) -> None:
    with chat_server(lambda *_: Answer(404, b'{"error": "The model tiny does not exist"}')) as server:
        result = run(server)
        assert result.code == 2
        assert "The model tiny does not exist" in result.err
        folder = folder_of(tmp_path / "out")
        assert json.loads((folder / "run.json").read_text())["status"] == "error"
        server.behave = lambda _, body: describe(body)
        assert run(server).code == 0
        expect_whole(folder, failed=0)


def test_a_run_can_resume_with_other_transport_options(run: Run, tmp_path: Path) -> None:
    with chat_server(on_three(Answer(500))) as server:
        assert run(server).code == 3
        server.behave = lambda _, body: describe(body)
        assert run(server, "-M", "concurrency=2", "-M", "price_in=1").code == 0
        expect_whole(folder_of(tmp_path / "out"), failed=0)
        result = run(server, "-M", "image_format=jpeg")
        assert result.code == 2
        assert "image_format" in result.err


def test_usage_is_added_up_over_sessions(run: Run, tmp_path: Path) -> None:
    prices = ("-M", "price_in=1000", "-M", "price_out=10000")
    with chat_server(on_three(Answer(500))) as server:
        assert run(server, *prices).code == 3
        folder = folder_of(tmp_path / "out")
        first = json.loads((folder / "run.json").read_text())["usage"]
        assert (first["requests"], first["retries"], first["answers"]) == (13, 3, 7)
        assert (first["prompt_tokens"], first["completion_tokens"]) == (350, 70)
        assert first["cost"] == pytest.approx(350 * 1e-3 + 70 * 1e-2)
        server.behave = lambda _, body: describe(body)
        assert run(server, *prices).code == 0
        second = json.loads((folder / "run.json").read_text())["usage"]
        assert (second["requests"], second["answers"], second["prompt_tokens"]) == (16, 10, 500)
        assert second["requests"] == len(server.bodies)
        kept = read_lines(folder / "responses.jsonl")
        assert sum(row["prompt_tokens"] for row in kept) == second["prompt_tokens"]
        assert second["cost"] == pytest.approx(10 * (50 * 1e-3 + 10 * 1e-2))


def test_the_key_is_written_nowhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if the server sends it back in an error, an answer or a header."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def behave(number: int, body: dict[str, Any]) -> Answer:
        echo = f"your key {KEY}"
        return [
            completion(f"A dog. {echo}"),
            Answer(400, echo.encode()),
            Answer(body=echo.encode()),
            completion("A dog.", reasoning_content=echo),
            Answer(500, echo.encode()),
        ][sample_of(body) % 5]

    with chat_server(behave) as server:
        result = run(server)
        assert result.code == 3
        assert set(server.authorizations) == {f"Bearer {KEY}"}
        server.behave = lambda *_: Answer(401, f"wrong key {KEY}".encode())
        refused = run(server, out="refused")
        assert refused.code == 2
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
    assert "your key ***" in (folder_of(tmp_path / "out") / "responses.jsonl").read_text()
    assert "wrong key ***" in refused.err
    for text in (caplog.text, result.out, result.err, refused.out, refused.err):
        assert KEY not in text
    assert caplog.text, "something was logged"


def test_a_kill_during_a_retry(run: Run, picture_folder: Path, tmp_path: Path) -> None:
    """A kill between two retried batches leaves whole files, and the next session continues."""
    with chat_server() as server:
        assert run(server, out="calm").code == 0
        server.behave = lambda _, body: describe(body) if sample_of(body) == 0 else Answer(500)
        assert run(server, retries=0).code == 3
        folder = folder_of(tmp_path / "out")
        expect_whole(folder, failed=9)

        server.behave = lambda _, body: Answer(hang_s=1, body=describe(body).body)
        command = arguments(server, picture_folder, tmp_path / "out", retries=0)
        process = subprocess.Popen(
            [sys.executable, "-c", "from eidolon.benchmark.cli import main; main()", *map(str, command)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 600
        while sum(bool(row["error"]) for row in read_lines(folder / "responses.jsonl")) > 6:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        rows = read_lines(folder / "responses.jsonl")
        assert [row["sample_id"] for row in rows] == [str(index) for index in range(10)]
        assert not (folder / "scores.json").exists()
        healed = sum(row["response"] is not None for row in rows)
        assert 4 <= healed < 10

        server.behave = lambda _, body: describe(body)
        before = len(server.bodies)
        assert run(server).code == 0
        assert len(server.bodies) - before == 10 - healed
    assert contents(folder) == contents(folder_of(tmp_path / "calm"))
