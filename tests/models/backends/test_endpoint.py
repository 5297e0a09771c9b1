"""The possible answers of an endpoint, and their results."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.models.backends import endpoint as module
from eidolon.models.backends.endpoint import Completion, Endpoint, read_completion, retry_after
from eidolon.models.backends.endpoint_address import parse_address
from eidolon.models.backends.registry import ModelReference
from eidolon.models.backends.text_endpoint import EndpointText
from eidolon.scorers.core.errors import UserError
from tests.chat_server import Answer, ChatServer, chat_server, completion

BODY = {"messages": [{"role": "user", "content": "Say it."}], "temperature": 0}
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)


def ask(
    server: ChatServer, count: int = 1, *, concurrency: int = 4, timeout: float = 5.0, retries: int = 2
) -> list[Completion]:
    return connect(server, concurrency, timeout, retries).ask([BODY] * count)


def connect(server: ChatServer, concurrency: int = 4, timeout: float = 5.0, retries: int = 2) -> Endpoint:
    model, url = parse_address("--model", server.name, server.name.removeprefix("openai/"))
    return Endpoint("--model x", model, url, concurrency=concurrency, timeout=timeout, retries=retries)


def test_a_complete_answer() -> None:
    with chat_server(lambda *_: completion("A dog.", finish="length", reasoning_content="Hm.")) as server:
        (found,) = ask(server)
    assert found == Completion("A dog.", "Hm.", "length", 50, 10)
    assert server.bodies == [{"model": "tiny", **BODY}]


def test_concurrency_is_limited_and_answers_are_in_order() -> None:
    def echo(_: int, body: dict[str, object]) -> Answer:
        return Answer(hang_s=0.05, body=completion(str(body["seed"])).body)

    with chat_server(echo) as server:
        found = connect(server, concurrency=3).ask([{**BODY, "seed": seed} for seed in range(12)])
    assert [one.text for one in found] == [str(seed) for seed in range(12)]
    assert 2 <= server.most_at_once <= 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_transient_statuses_are_retried(status: int) -> None:
    with chat_server(lambda n, _: Answer(status) if n < 2 else completion("A dog.")) as server:
        (found,) = ask(server)
    assert found.text == "A dog."
    assert len(server.bodies) == 3


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_other_statuses_are_not_retried(status: int) -> None:
    with chat_server(lambda *_: Answer(status, b'{"error": "too\x1b[31m big"}')) as server:
        (found,) = ask(server)
    assert found.error == f'the endpoint answers {status}: {{"error": "too [31m big"}}'
    assert not found.transient
    assert len(server.bodies) == 1


def test_retries_are_limited() -> None:
    with chat_server(lambda *_: Answer(500, b"overloaded")) as server:
        (found,) = ask(server)
    assert found == Completion(error="the endpoint answers 500: overloaded", transient=True)
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    "answer", [Answer(hang_s=1.5), Answer(drip_s=0.05, body=completion("A dog.").body)], ids=["hang", "drip"]
)
def test_a_try_has_a_time_limit(answer: Answer) -> None:
    """Also if a server sends a byte now and then, so that no single read takes long."""
    with chat_server(lambda n, _: answer if n == 0 else completion("A cat.")) as server:
        found = ask(server, timeout=0.5)
        assert found[0].text == "A cat."
        server.behave = lambda *_: answer
        (late,) = ask(server, timeout=0.3, retries=0)
    assert late == Completion(error="the endpoint gave no answer within 0.3 s", transient=True)


def test_an_incomplete_answer_is_requested_again() -> None:
    cut = Answer(body=completion("A dog.").body, cut=True)
    with chat_server(lambda n, _: cut if n == 0 else completion("A cat.")) as server:
        assert ask(server)[0].text == "A cat."


def test_retry_after_delays_every_request() -> None:
    def behave(number: int, _: object) -> Answer:
        return Answer(429, headers={"Retry-After": "1"}) if number == 0 else completion("A dog.")

    with chat_server(behave) as server:
        found = ask(server, 3, concurrency=1)
    assert [one.text for one in found] == ["A dog."] * 3
    assert server.times[1] - server.times[0] >= 1.0
    assert server.times[3] - server.times[1] < 1.0


def test_a_long_retry_after_is_not_waited_for() -> None:
    with chat_server(lambda *_: Answer(429, b"quota", {"Retry-After": "3600"})) as server:
        (found,) = ask(server)
    assert found.error == "the endpoint answers 429: quota (and asks to wait 3600 s)"
    assert found.transient
    assert len(server.bodies) == 1


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after(None) == retry_after("soon") == retry_after("-5") == retry_after("nan") == 0
    assert retry_after("1.5") == 1.5
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < retry_after(format_datetime(soon)) <= 30
    assert 25 < retry_after(soon.strftime("%a, %d %b %Y %H:%M:%S GMT")) <= 30
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_an_endpoint_that_answers_nothing_gets_few_requests() -> None:
    with chat_server(lambda *_: Answer(500)) as server:
        endpoint = connect(server, concurrency=2, retries=1)
        first = endpoint.ask([BODY] * 10)
        # Two at once, two tries each; a third may start between the ends of the first two.
        assert 4 <= len(server.bodies) <= 6
        assert sum("not sent" in (one.error or "") for one in first) == 10 - len(server.bodies) // 2
        assert all(one.transient for one in first)
        for _ in range(module.PATIENCE):
            endpoint.ask([BODY] * 10)
        before = len(server.bodies)
        endpoint.ask([BODY] * 10)
        assert len(server.bodies) == before + 1, "a single try"
        server.behave = lambda *_: completion("A dog.")
        assert [one.text for one in endpoint.ask([BODY] * 10)] == ["A dog."] * 10
    assert endpoint.traffic.requests == len(server.bodies)
    assert endpoint.traffic.answers == 10


def test_one_slow_request_does_not_stop_the_others() -> None:
    """If the first single request is answered, all others are sent."""

    def behave(_: int, body: dict[str, object]) -> Answer:
        return Answer(500) if body["seed"] == 3 else completion(str(body["seed"]))

    with chat_server(behave) as server:
        endpoint = connect(server, concurrency=2, retries=0)
        for _ in range(3):
            found = endpoint.ask([{**BODY, "seed": seed} for seed in range(5)])
            assert [one.text for one in found] == ["0", "1", "2", None, "4"]


@pytest.mark.parametrize(("status", "hint"), [(401, "401"), (403, "403"), (404, "404")])
def test_a_wrong_key_or_model_is_the_users(status: int, hint: str) -> None:
    with chat_server(lambda *_: Answer(status, b"no such thing")) as server:
        with pytest.raises(UserError, match=f"{hint}: no such thing"):
            ask(server, 20, concurrency=2)
        assert len(server.bodies) <= 2


def test_after_an_answer_a_missing_model_is_transient() -> None:
    with chat_server(lambda n, _: Answer(404) if n else completion("A dog.")) as server:
        found = ask(server, 3, concurrency=1)
    assert [one.transient for one in found] == [False, True, True]


def test_several_requests_that_are_all_refused_are_the_users() -> None:
    with (
        chat_server(lambda *_: Answer(422, b"no field seed")) as server,
        pytest.raises(UserError, match="no field"),
    ):
        ask(server, 2)


def test_the_key_is_sent_and_removed_from_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    with chat_server() as server:
        server.behave = lambda n, _: (
            Answer(400, f"bad key {KEY}".encode()) if n else completion(f"Is it {KEY}?")
        )
        found = ask(server, 2, concurrency=1)
    assert server.authorizations == [f"Bearer {KEY}"] * 2
    assert [one.text or one.error for one in found] == ["Is it ***?", "the endpoint answers 400: bad key ***"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\nsecret")
    with pytest.raises(UserError, match="has characters") as raised:
        connect(server)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "target",
    [
        "m@http://user:secret@h/v1",
        "m@http://h/v1?api_key=secret",
        "m@https://h/v1#secret",
        "m@http://secret@h",
    ],
)
def test_an_address_with_a_secret_is_refused_without_repeating_it(target: str) -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY") as raised:
        parse_address("--model", f"openai/{target}", target)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "target", ["m", "@http://h", "m@ftp://h", "m@http://", "m@http://h:x/v1", "m@http://[::1"]
)
def test_a_wrong_address_shows_the_right_form(target: str) -> None:
    with pytest.raises(UserError, match="write openai/MODEL@URL"):
        parse_address("--model", f"openai/{target}", target)


def test_a_models_name_may_contain_slashes_and_at_signs() -> None:
    assert parse_address("", "", "org/a@b@https://h:1/v1") == ("org/a@b", "https://h:1/v1")


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "usage", "prompt_tokens", "finish_reason", "refusal"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ODD, ODD, ODD)
def test_no_body_breaks_the_reader(whole: object, message: object, usage: object) -> None:
    nearly = {"choices": [{"message": message, "finish_reason": whole}], "usage": usage}
    for body in (whole, nearly):
        try:
            found = read_completion(json.dumps(body).encode())
        except ValueError:
            continue
        assert (found.text is None) == (found.error is not None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (completion(""), Completion("", None, "stop", 50, 10)),
        (completion(None, reasoning="Hm", finish="length"), Completion("", "Hm", "length", 50, 10)),
        (completion(None, refusal="I can't."), Completion("I can't.", None, "stop", 50, 10)),
        (completion("a\ud800b", usage=None), Completion("a\ufffdb", None, "stop")),
        (completion("x", finish="tool_calls", usage=None), Completion("x", None, "unknown")),
        (
            completion("A d", finish="content_filter"),
            Completion(
                error="the endpoint's content filter withheld the answer",
                prompt_tokens=50,
                completion_tokens=10,
            ),
        ),
    ],
)
def test_answers_of_every_kind(answer: Answer, expected: Completion) -> None:
    assert read_completion(answer.body) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"\xff\xfe",
        b"{}",
        b'{"choices": []}',
        b'{"error": {"message": "busy"}}',
        b"[" * 9999,
    ],
)
def test_a_part_of_garbage_is_in_the_message(body: bytes) -> None:
    with chat_server(lambda *_: Answer(body=body)) as server:
        (found,) = ask(server)
    assert found.transient
    assert (found.error or "").startswith("the endpoint's answer is not a chat completion: ")
    assert len(found.error or "") < 400
    assert len(server.bodies) == 1, "a server that sends nonsense is not asked again at once"


def test_a_body_that_cannot_be_unpacked() -> None:
    with chat_server(lambda *_: Answer(body=b"plain", headers={"Content-Encoding": "gzip"})) as server:
        (found,) = ask(server, retries=0)
    assert found.transient
    assert found.text is None


def text_model(server: ChatServer, **options: str) -> EndpointText:
    reference = ModelReference(server.name, "openai", server.name.removeprefix("openai/"))
    return EndpointText(reference, "tiny", **options)


def test_a_judges_language_model_shares_the_client() -> None:
    schema = {"type": "object"}
    with chat_server(
        lambda n, _: completion("<think>Well.</think> yes") if n % 2 else Answer(400, b"no")
    ) as server:
        model = text_model(server, concurrency="1", retries="0")
        replies = model.reply(["a", "b"], max_new_tokens=16, schema=schema)
    assert [(reply.text, reply.error) for reply in replies] == [
        (None, "the endpoint answers 400: no"),
        ("yes", None),
    ]
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "a"}]
    assert server.bodies[0]["max_tokens"] == 16
    assert server.bodies[0]["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize("option", ["concurrency=0", "timeout=nan", "timeout=x", "retries=-1"])
def test_wrong_options_of_a_judges_model(option: str) -> None:
    key, _, value = option.partition("=")
    with pytest.raises(UserError, match=f"-J {option}: must be"):
        text_model(ChatServer(), **{key: value})


def test_an_endpoint_can_be_used_in_an_event_loop() -> None:
    import asyncio

    async def notebook(server: ChatServer) -> list[Completion]:
        return ask(server)

    with chat_server(lambda *_: completion("A dog.")) as server:
        assert asyncio.run(notebook(server))[0].text == "A dog."
