"""Endpoints, proxies and addresses that mislead: one line, bounded memory, and no key or password in any file."""

import json
from pathlib import Path
from typing import Any

import pytest

from eidolon.models.backends import endpoint
from eidolon.models.backends.endpoint import MAX_TOKENS, read_completion, retry_after
from tests.benchmark.conftest import Cli, Result, bounded, read_lines
from tests.chat_server import Answer, ChatServer, chat_server, completion, describe, packed_gibibyte
from tests.fault_table import FaultRecorder

pytestmark = pytest.mark.faults

KEY = "sk-very-secret-0123456789"
PASSWORD = "pa55word-of-mine"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def server() -> Any:
    with chat_server() as found:
        yield found


def arguments(model: str, pictures: Path, out: Path) -> list[object]:
    return [
        "run", "--model", model, "--dataset", f"folder/{pictures}", "--out", out, "--batch-size", 4,
        "--temperature", 0, "--resamples", 10, "-M", "retries=1", "-M", "timeout=5",
    ]  # fmt: skip


def refused(result: Result, *expected: str, begun: bool = False) -> None:
    assert (result.code, result.out) == (2, ""), result.err
    *progress, line = result.err.splitlines()
    assert begun or not progress
    assert "Traceback" not in result.err
    assert line.startswith("error: ")
    for text in expected:
        assert text in line, line


def assert_nowhere(secret: str, folder: Path, *results: Result) -> None:
    for result in results:
        assert secret not in result.out + result.err
    for path in folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 01 Jan 0001 00:00:00 +2300",
        "Fri, 31 Dec 9999 23:59:59 -2300",
        "Fri, 32 Dec 99999999999999999999 23:59:59 GMT",
        "Fri, 31 Dec 2026 23:59:59 +99999999999",
        ", , ,",
        "9" * 400,
        "-" + "9" * 400,
        "1e400",
    ],
)
def test_no_wait_is_out_of_range(value: str) -> None:
    assert retry_after(value) >= 0


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:99999/v1", "http://[::1", "//", "", "http://elsewhere.invalid/v1"]
)
def test_a_redirect_is_not_followed(
    status: int, location: str, server: ChatServer, cli: Cli, picture_folder: Path, tmp_path: Path,
    faults: FaultRecorder,
) -> None:  # fmt: skip
    server.behave = lambda *_: Answer(status, headers={"Location": location})
    result = cli(*arguments(server.name, picture_folder, tmp_path / "out"))
    refused(result, f"answers {status}, a redirect to ", "give the URL that it leads to", begun=True)
    server.behave = lambda _, body: describe(body)
    again = cli(*arguments(server.name, picture_folder, tmp_path / "out"))
    assert again.code == 0
    faults.record("endpoint: a redirect to nowhere", healed=1)


@pytest.mark.parametrize(
    "proxy",
    ["http://me:{}@[bad", "http://me:{}@host:99999", "ftp://me:{}@host:21", "socks9://{}", "://", "http://"],
)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "https_proxy"])
def test_a_bad_proxy(
    variable: str, proxy: str, server: ChatServer, cli: Cli, picture_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, faults: FaultRecorder,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, proxy.format(PASSWORD))
    result = cli(*arguments(server.name, picture_folder, tmp_path / "out"))
    refused(result, f"environment variable {variable.upper()} is not the URL of a proxy")
    assert_nowhere(PASSWORD, tmp_path, result)
    monkeypatch.delenv(variable)
    assert cli(*arguments(server.name, picture_folder, tmp_path / "out")).code == 0
    faults.record("endpoint: a bad proxy", healed=1)


@pytest.mark.parametrize("status", [200, 400, 429])
def test_a_packed_gibibyte_takes_little_memory(
    status: int, server: ChatServer, cli: Cli, picture_folder: Path, tmp_path: Path
) -> None:
    bomb = packed_gibibyte()
    server.behave = lambda *_: Answer(status, bomb.body, bomb.headers)
    with bounded(seconds=120, mebibytes=600):
        result = cli(*arguments(server.name, picture_folder, tmp_path / "out"), "--max-unscored", 1)
    assert "is larger than 16 MiB" in "".join(
        row["error"] for path in tmp_path.glob("out/*/responses.jsonl") for row in read_lines(path)
    )
    assert result.code in (0, 3)


def test_a_packed_answer_is_unpacked(
    server: ChatServer, cli: Cli, picture_folder: Path, tmp_path: Path
) -> None:
    """Some proxies pack what was not asked for packed."""
    import gzip

    server.behave = lambda _, body: Answer(
        body=gzip.compress(describe(body).body), headers={"Content-Encoding": "gzip"}
    )
    assert cli(*arguments(server.name, picture_folder, tmp_path / "out")).code == 0


@pytest.mark.parametrize("count", [10**19, 10**400, 10**4000, -1, 1e308, True, "5"])
def test_counts_that_are_none(
    count: Any, server: ChatServer, cli: Cli, picture_folder: Path, tmp_path: Path, faults: FaultRecorder
) -> None:
    """They neither end the run nor stop the next session from reading the folder."""
    server.behave = lambda _, body: completion("A dog and a cat.", usage=(count, count))
    prices = ("-M", "price_in=1e300", "-M", "price_out=1e300")
    result = cli(*arguments(server.name, picture_folder, tmp_path / "out"), *prices)
    assert result.code == 0, result.err
    (record,) = tmp_path.glob("out/*/run.json")
    usage = json.loads(record.read_bytes())["usage"]
    assert usage["unmetered"] == 10
    again = cli(*arguments(server.name, picture_folder, tmp_path / "out"), *prices)
    assert again.code == 0, again.err
    faults.record("endpoint: impossible token counts", healed=1)


def test_a_count_of_thousands_of_digits() -> None:
    """Python does not convert it, so the body is no JSON that can be read."""
    body = completion("A dog.").body.replace(b"50", b"5" * 5000)
    with pytest.raises(ValueError, match="choices"):
        read_completion(body)
    found = read_completion(completion("A dog.", usage=(MAX_TOKENS, MAX_TOKENS + 1)).body)
    assert (found.prompt_tokens, found.completion_tokens) == (MAX_TOKENS, None)


@pytest.mark.parametrize(
    "name",
    [
        "openai/m@http://user:{}@host/v1",
        "openai/m@htp://user:{}@host/v1",
        "openai/m@http:/user:{}@host/v1",
        "openai/m@http//user:{}@host/v1",
        "openai/m@user:{}@host:8000/v1",
        "openai/http://user:{}@host/v1",
        "openai/m@http://user:{}/x@host:99999/v1",
        "opnai/m@http://user:{}@host/v1",
        "https://user:{}@host/v1",
        "user:{}@host",
    ],
)
def test_a_mistyped_address_is_shown_without_its_password(
    name: str, cli: Cli, picture_folder: Path, tmp_path: Path, faults: FaultRecorder
) -> None:
    result = cli(*arguments(name.format(PASSWORD), picture_folder, tmp_path / "out"))
    refused(result)
    assert_nowhere(PASSWORD, tmp_path, result)
    assert not (tmp_path / "out").exists()
    config = tmp_path / "mine.yaml"
    config.write_text(f"modles: ['{name.format(PASSWORD)}']\n", encoding="utf-8")
    wrong = cli("run", "--config", config, "--out", tmp_path / "out")
    refused(wrong, "did you mean 'models'")
    config.unlink()
    assert "://" not in name or PASSWORD not in wrong.err
    faults.record("endpoint: a password in the address", healed=1)


PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "extra": ("openai/m@{}", ("-M", 'extra={{"user": "{}"}}')),
    "extra, deep": ("openai/m@{}", ("-M", 'extra={{"a": [{{"b": {{"x": "is {}"}}}}]}}')),
    "a name in extra": ("openai/m@{}", ("-M", 'extra={{"{}": 1}}')),
    "system": ("openai/m@{}", ("-M", "system=Your key is {}.")),
    "revision": ("openai/m@{}", ("-M", "revision={}")),
    "path": ("openai/m@{}/{{}}/x", ()),
    "model": ("openai/m-{{}}@{}", ()),
    "prompt": ("openai/m@{}", ("--prompt", "Say {} in a sentence.")),
}


@pytest.mark.parametrize(
    ("place", "key"),
    [
        (place, key)
        for place in PLACES
        for key in (KEY, "a-plain-key-of-mine", "sk-proj-0123456789abcdefghij")
        # A prompt may quote anything but the user's own key.
        if not (place == "prompt" and key.startswith("sk-proj"))
    ],
)
def test_a_key_in_the_wrong_place_is_refused(
    place: str, key: str, server: ChatServer, cli: Cli, picture_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, faults: FaultRecorder,
) -> None:  # fmt: skip
    """If it is the key of the environment, or looks like a key."""
    if not key.startswith("sk-proj"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
    url = server.name.partition("@")[2]
    model, more = PLACES[place]
    result = cli(
        *arguments(model.format(url).format(key), picture_folder, tmp_path / "out"),
        *(part.format(key) for part in more),
    )
    refused(result)
    assert_nowhere(key, tmp_path, result)
    assert not (tmp_path / "out").exists()
    faults.record("endpoint: a key in the wrong place", healed=1)


@pytest.mark.parametrize("name", ["api_key", "Authorization", "access-token", "password"])
def test_a_field_for_a_key_is_refused(name: str, cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    result = cli(
        *arguments("openai/m@http://127.0.0.1:9/v1", picture_folder, tmp_path / "out"),
        "-M", json.dumps({"headers": {name: "letmein"}}).join(("extra=", "")),
    )  # fmt: skip
    refused(result, f"-M extra.headers.{name}: holds a key")
    assert_nowhere("letmein", tmp_path, result)


def test_other_fields_are_no_keys(server: ChatServer, cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    extra = (
        'extra={"max_tokens_per_image": 5, "prompt_cache_key": "mine", "tokenizer": "fast", "stop": ["key"]}'
    )
    assert cli(*arguments(server.name, picture_folder, tmp_path / "out"), "-M", extra).code == 0
