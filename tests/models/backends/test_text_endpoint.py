"""Language models behind an endpoint, with a small local server."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from eidolon.models.backends.text_models import language_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.language_model import LanguageModel

Answer = tuple[int, Any]
"""Status and body; a text is sent unchanged."""


def chat(text: Any) -> Answer:
    return 200, {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
    }


class Server:
    """Answers POSTs by a function of the prompt and the number of its tries; records the requests."""

    def __init__(self) -> None:
        self.answer: Callable[[str, int], Answer] = lambda prompt, times: chat(f"echo {prompt}")
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner._handle(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self._thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self._thread.start()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        with self._lock:
            self.requests.append({**body, "path": handler.path})
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self._times[prompt] += 1
            times = self._times[prompt]
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        status, answer = self.answer(prompt, times)
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        with self._lock:
            self.at_once -= 1
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        # The client waits for the time of this header.
        handler.send_header("Retry-After-Ms", "1")
        handler.end_headers()
        handler.wfile.write(data)

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = Server()
    yield found
    found.stop()


def load(server: Server, **options: str) -> LanguageModel:
    (model,) = language_models(f"openai/org/m@{server.url}", options)
    return model


def test_every_prompt_gets_its_answer_greedily(server: Server) -> None:
    found = load(server).reply([f"p{i}" for i in range(40)], max_new_tokens=15)
    assert [reply.text for reply in found] == [f"echo p{i}" for i in range(40)]
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions"
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("org/m", 0, 15)
    assert "response_format" not in request
    assert server.headers[0]["authorization"] == "Bearer none"


def test_as_many_at_once_as_allowed(server: Server) -> None:
    gate = threading.Barrier(3)

    def answer(prompt: str, times: int) -> Answer:
        gate.wait(timeout=20)  # passes only with three concurrent requests
        return chat("ok")

    server.answer = answer
    load(server, concurrency="3").reply([f"p{i}" for i in range(6)], max_new_tokens=5)
    assert server.most_at_once == 3


def test_the_key_comes_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    model = load(server)
    model.reply(["p"], max_new_tokens=5)
    assert server.headers[0]["authorization"] == "Bearer a-key"
    assert "a-key" not in model.signature()


def test_a_schema_is_sent(server: Server) -> None:
    schema = {"type": "object", "properties": {"objects": {"type": "array"}}}
    load(server).reply(["p"], max_new_tokens=50, schema=schema)
    asked = server.requests[0]["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["schema"] == schema


def test_thinking_is_not_part_of_the_answer(server: Server) -> None:
    server.answer = lambda prompt, times: chat("<think>is it?</think>\n\nyes")
    assert load(server).reply(["p"], max_new_tokens=5)[0].text == "yes"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_transient_failure_is_retried(server: Server, status: int) -> None:
    server.answer = lambda prompt, times: (
        chat("yes") if times > 2 else (status, {"error": {"message": "busy"}})
    )
    found = load(server, retries="2").reply(["a", "b"], max_new_tokens=5)
    assert [reply.text for reply in found] == ["yes", "yes"]
    assert len(server.requests) == 6


def test_a_permanent_failure_is_an_error_of_its_prompt_only(server: Server) -> None:
    server.answer = lambda prompt, times: (
        (500, {"error": {"message": "out of luck"}}) if prompt == "b" else chat("yes")
    )
    found = load(server, retries="1").reply(["a", "b", "c"], max_new_tokens=5)
    assert [reply.text for reply in found] == ["yes", None, "yes"]
    assert "answers 500" in str(found[1].error)
    assert "out of luck" in str(found[1].error)
    assert sum(request["messages"][0]["content"] == "b" for request in server.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        "{not json",
        "",
        "[]",
        '"text"',
        '{"choices": []}',
        '{"choices": [{}]}',
        "{}",
        chat(None)[1],
        chat(7)[1],
    ],
)
def test_a_body_that_is_not_a_completion_is_an_error(server: Server, body: Any) -> None:
    server.answer = lambda prompt, times: (200, body)
    (found,) = load(server, retries="0").reply(["p"], max_new_tokens=5)
    assert found.text is None
    assert "the endpoint's answer" in str(found.error)


def test_an_endpoint_that_is_down_gets_few_requests() -> None:
    gone = Server()
    gone.stop()
    found = load(gone, retries="0", concurrency="2").reply([f"p{i}" for i in range(200)], max_new_tokens=5)
    assert all("cannot be reached" in str(reply.error) for reply in found)


def test_an_endpoint_that_hangs_is_an_error(server: Server) -> None:
    release = threading.Event()

    def answer(prompt: str, times: int) -> Answer:
        release.wait(timeout=20)
        return chat("late")

    server.answer = answer
    try:
        (found,) = load(server, retries="0", timeout="0.2").reply(["p"], max_new_tokens=5)
    finally:
        release.set()
    assert found.error == "the endpoint gave no answer within 0.2 s"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_name_is_the_users(server: Server, status: int) -> None:
    server.answer = lambda prompt, times: (status, {"error": {"message": "who are you"}})
    with pytest.raises(UserError, match=rf"-J models=openai/org/m@.*answers {status}.*who are you"):
        load(server, concurrency="1").reply([f"p{i}" for i in range(50)], max_new_tokens=5)
    assert len(server.requests) == 1
