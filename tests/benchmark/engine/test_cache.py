"""The response cache: its keys, the file under faults, and runs that are answered from it."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eidolon.benchmark.engine import cache as response_cache
from eidolon.benchmark.engine import cache_file, cached_model
from eidolon.benchmark.engine.cache import FILE, ResponseCache
from eidolon.benchmark.engine.cache_file import LOCK_WAIT_S, USED_EVERY_S, CacheFile, ModelName
from eidolon.benchmark.engine.cache_keys import canonical, model_id, picture_hash, request_key
from eidolon.benchmark.engine.cached_model import CachedModel, cached, uncached
from eidolon.models.backends import registry
from eidolon.models.base.checkpoint_files import file_sha256
from eidolon.models.base.model import Decoding, Request
from eidolon.models.base.shipped import shipped_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response
from tests.benchmark.conftest import Cli, read_lines
from tests.chat_server import Answer, chat_server, describe, picture_of
from tests.fault_table import FaultRecorder

RED = Image.new("RGB", (6, 4), (200, 10, 10))
REQUEST = Request("s1", 1, RED, "What is here?", 0, Decoding(64, 0.0, 1.0, 7))
NAME = ModelName("one", "path/of/one")
ROOMY = 10**9


def at(request: Request, **decoding: Any) -> Request:
    return replace(request, decoding=replace(request.decoding, **decoding))


# Keys


def test_ids_and_the_seed_of_greedy_decoding_are_not_part_of_a_key() -> None:
    key = request_key("m", REQUEST)
    assert key == request_key("m", replace(REQUEST, sample_id="other", image_id="x", generation=3))
    assert key == request_key("m", at(REQUEST, seed=8))
    assert key == request_key("m", replace(REQUEST, image=RED.copy()))


def test_everything_else_of_a_request_is_part_of_its_key() -> None:
    sampled = at(REQUEST, temperature=0.5)
    others = [
        sampled,
        at(sampled, seed=8),
        at(sampled, top_p=0.9),
        at(REQUEST, max_new_tokens=63),
        at(REQUEST, top_p=0.9),
        replace(REQUEST, prompt="What is here? "),
        replace(REQUEST, is_question=True),
        replace(REQUEST, image=Image.new("RGB", (6, 4), (200, 10, 11))),
        replace(REQUEST, image=Image.new("RGB", (4, 6), (200, 10, 10))),
        replace(REQUEST, image=Image.new("L", (18, 4), 200)),
    ]
    keys = [request_key("m", request) for request in [REQUEST, *others]]
    keys.append(request_key("n", REQUEST))
    assert len(set(keys)) == len(keys)


def test_pictures_with_different_palettes_have_different_keys() -> None:
    one, other = Image.new("P", (3, 3)), Image.new("P", (3, 3))
    one.putpalette([1, 2, 3] * 256)
    other.putpalette([3, 2, 1] * 256)
    assert one.tobytes() == other.tobytes()
    assert picture_hash(one) != picture_hash(other)


def test_swapped_prompts_and_pictures_have_different_keys() -> None:
    blue = Image.new("RGB", (6, 4), (0, 0, 250))
    keys = {
        request_key("m", replace(REQUEST, image=image, prompt=prompt))
        for image in (RED, blue)
        for prompt in ("a", "b")
    }
    assert len(keys) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
identities = st.dictionaries(st.text(max_size=6), json_values, min_size=1, max_size=4)


def spelt(value: object) -> object:
    """Return a value as nested tuples that are equal only for equal JSON: an independent canonical form."""
    if isinstance(value, dict):
        return ("object", tuple(sorted((key, spelt(inner)) for key, inner in value.items())))
    if isinstance(value, list):
        return ("list", tuple(spelt(inner) for inner in value))
    return (type(value).__name__, repr(value))


@given(identities, identities)
def test_models_share_an_id_only_if_every_field_is_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (model_id(one) == model_id(other)) == (repr(spelt(one)) == repr(spelt(other)))
    assert model_id(dict(reversed(one.items()))) == model_id(one)


@given(identities, st.data(), json_values)
def test_changing_any_field_of_an_identity_changes_its_id(
    identity: dict[str, Any], data: st.DataObject, value: object
) -> None:
    field = data.draw(st.sampled_from(sorted(identity)))
    changed = {**identity, field: value}
    dropped = {key: inner for key, inner in identity.items() if key != field}
    assert (model_id(changed) == model_id(identity)) == (spelt(value) == spelt(identity[field]))
    assert model_id(dropped) != model_id(identity)


requests = st.builds(
    Request,
    sample_id=st.text(max_size=3),
    image_id=st.integers(0, 3),
    image=st.builds(
        lambda mode, size, level: Image.new(mode, size, level),
        st.sampled_from(["L", "1"]),
        st.tuples(st.integers(1, 3), st.integers(1, 3)),
        st.sampled_from([0, 255]),
    ),
    prompt=st.text(max_size=4),
    generation=st.integers(0, 2),
    decoding=st.builds(
        Decoding,
        max_new_tokens=st.integers(1, 3),
        temperature=st.sampled_from([0.0, 0.5, 1.0]),
        top_p=st.sampled_from([0.5, 1.0]),
        seed=st.integers(0, 3),
    ),
    is_question=st.booleans(),
)


def key_fields(request: Request) -> object:
    """Return everything that a key depends on, field by field."""
    decoding = request.decoding
    return (
        request.image.mode,
        request.image.size,
        request.image.convert("L").tobytes(),
        request.prompt,
        request.is_question,
        decoding.max_new_tokens,
        decoding.temperature,
        decoding.top_p,
        decoding.seed if decoding.temperature > 0 else None,
    )


@given(requests, requests)
def test_requests_share_a_key_only_if_all_key_fields_are_equal(one: Request, other: Request) -> None:
    assert (request_key("m", one) == request_key("m", other)) == (key_fields(one) == key_fields(other))


# The file


def entries(count: int, size: int = 20, start: int = 0) -> dict[bytes, dict[str, Any]]:
    return {
        (b"%032d" % i): {"response": f"{i} " + "x" * size, "finish_reason": "stop"}
        for i in range(start, start + count)
    }


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.text(max_size=5)), max_size=12))
def test_the_file_is_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int, str]]
) -> None:
    file, twin = CacheFile(tmp_path_factory.mktemp("c") / FILE, ROOMY), {}
    for writes, number, text in steps:
        key = b"%032d" % number
        if writes:
            file.store("m", {key: {"response": text}}, [])
            twin[key] = {"response": text}
        assert file.find([key]) == {k: v for k, v in twin.items() if k == key}
    file.close()


def test_many_keys_at_once(tmp_path: Path) -> None:
    file = CacheFile(tmp_path / FILE, ROOMY)
    kept = entries(1203)
    file.store("m", kept, [])
    assert file.find([*kept, b"none"]) == kept


def test_the_least_recently_used_are_deleted(tmp_path: Path) -> None:
    now = [1000.0]
    file = CacheFile(tmp_path / FILE, 10**6, clock=lambda: now[0])
    old, used = entries(400, 1000), entries(100, 1000, start=400)
    file.store("m", {**old, **used}, [])
    now[0] += 2 * USED_EVERY_S
    assert file.is_stale([*used])
    file.store("m", {}, [*used])
    assert not file.is_stale([*used])
    now[0] += 2 * USED_EVERY_S
    new = entries(300, 1000, start=500)
    file.store("m", new, [])
    assert file.size() <= 10**6
    assert len(file.find([*new])) == 300
    assert len(file.find([*used])) == 100
    assert 0 < len(file.find([*old])) < 400


def test_a_damaged_row_is_not_returned(tmp_path: Path) -> None:
    file = CacheFile(tmp_path / FILE, ROOMY)
    kept = entries(2)
    file.store("m", kept, [])
    file.close()
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("UPDATE responses SET body = replace(body, 'x', 'y') WHERE key = ?", [b"%032d" % 1])
    other.close()
    assert file.find([*kept]) == {b"%032d" % 0: kept[b"%032d" % 0]}


WRITER = """
import sys
from pathlib import Path
from eidolon.benchmark.engine.cache_file import CacheFile
file, start = CacheFile(Path(sys.argv[1]), 10**9), int(sys.argv[2])
print("open", flush=True)
for batch in range(int(sys.argv[3])):
    some = {b"%032d" % (start + 10 * batch + i): {"response": f"{start + 10 * batch + i}"} for i in range(10)}
    file.store("m", some, [])
    print(batch, flush=True)
"""


def write_in_another_process(path: Path, start: int, batches: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(path), str(start), str(batches)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    writers = [write_in_another_process(tmp_path / FILE, 1000 * n, 30) for n in range(3)]
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    assert CacheFile(tmp_path / FILE, ROOMY).count() == 3 * 300


def test_a_killed_writer_leaves_whole_batches(tmp_path: Path) -> None:
    dice = random.Random(5)
    for number in range(4):
        writer = write_in_another_process(tmp_path / FILE, 10**6 * number, 10**5)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        time.sleep(dice.uniform(0.02, 0.2))
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=60)
        file = CacheFile(tmp_path / FILE, ROOMY)
        assert file.count() % 10 == 0
        assert file._open().execute("PRAGMA integrity_check").fetchone() == ("ok",)
        file.close()
    assert CacheFile(tmp_path / FILE, ROOMY).count() > 0


def test_the_hash_of_a_file_is_kept_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"a" * 100)
    os.utime(weights, (1, 1))
    # Later than now: what was written just now is not remembered.
    file, read = CacheFile(tmp_path / FILE, ROOMY, lambda: time.time() + 10), []
    monkeypatch.setattr(cache_file, "file_sha256", lambda path: read.append(path) or file_sha256(path))
    assert file.file_digest(weights) == file.file_digest(weights) == file_sha256(weights)
    assert len(read) == 1
    weights.write_bytes(b"a" * 50 + b"b" + b"a" * 49)
    os.utime(weights, (1, 1))  # the same size and time as before
    assert file.file_digest(weights) == file_sha256(weights)
    assert len(read) == 2


# Faults: one warning each


def broken_file(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def damaged_file(path: Path) -> None:
    file = CacheFile(path, ROOMY)
    file.store("m", entries(500, 200), [])
    file.close()
    content = bytearray(path.read_bytes())
    content[4096:-4096] = os.urandom(len(content) - 8192)
    path.write_bytes(content)


def locked_file(path: Path) -> sqlite3.Connection:
    file = CacheFile(path, ROOMY)
    file.store("m", entries(1), [])
    file.close()
    holder = sqlite3.connect(path)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    return holder


def folder_in_its_place(path: Path) -> None:
    path.mkdir()


def file_for_a_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("")


@pytest.mark.parametrize(
    "spoil", [broken_file, damaged_file, locked_file, folder_in_its_place, file_for_a_folder]
)
def test_a_cache_that_cannot_be_used_costs_one_warning(
    spoil: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache" / FILE
    path.parent.mkdir()
    held = spoil(path)
    cache = ResponseCache(CacheFile(path, ROOMY))
    model, began = Counting(), time.monotonic()
    wrapped = cached(NAME, cache, lambda: {"weights": 1}, lambda: model)
    for _ in range(3):
        assert [r.response for r in wrapped.generate([REQUEST])] == ["A dog."]
        if isinstance(wrapped, CachedModel):
            wrapped.keep()
    assert time.monotonic() - began < 3 * LOCK_WAIT_S
    assert model.asked == 3
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert "continues without" in caplog.text
    if held is not None:
        held.close()


def test_a_full_disk_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = CacheFile(tmp_path / FILE, ROOMY)
    file.store("m", entries(1), [])
    pages = file._open().execute("PRAGMA page_count").fetchone()[0]
    file._open().execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite reports SQLITE_FULL
    cache = ResponseCache(file)
    for start in range(0, 100, 10):
        cache.store("m", entries(10, 3000, start), [])
    assert "full" in caplog.text
    assert len(caplog.records) == 1
    assert not cache.works


# The model behind the cache


class Counting:
    """Gives the same answer to everything, and counts the requests."""

    def __init__(self) -> None:
        self.asked = 0

    def describe(self) -> dict[str, Any]:
        return {"backend": "counting"}

    def generate(self, requests: Any) -> Any:
        for request in requests:
            self.asked += 1
            failed = request.prompt == "fail"
            yield Response(
                sample_id=request.sample_id,
                image_id=request.image_id,
                generation=request.generation,
                response=None if failed else "A dog.",
                error="no" if failed else None,
                prompt=request.prompt,
                finish_reason="error" if failed else "stop",
                completion_tokens=3,
                token_ends=(1, 5, 6),
            )


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(CacheFile(tmp_path / FILE, ROOMY))


def answer(model: Any, *requests: Request) -> list[Response]:
    found = {(r.sample_id, r.generation): r for r in model.generate(requests)}
    return [found[request.sample_id, request.generation] for request in requests]


def test_hits_leave_the_batch_and_have_the_ids_of_the_request(cache: ResponseCache) -> None:
    inner = Counting()
    model = cached(NAME, cache, lambda: {"weights": 1}, lambda: inner)
    (first,) = answer(model, REQUEST)
    assert isinstance(model, CachedModel)
    assert model.keep() == {"hits": 0, "misses": 1}
    again = replace(REQUEST, sample_id="s2", image_id="two", generation=4)
    new = replace(REQUEST, sample_id="s3", prompt="And now?")
    hit, miss = answer(model, again, new)
    assert hit == first.model_copy(update={"sample_id": "s2", "image_id": "two", "generation": 4})
    assert hit.model_dump_json() == hit.model_validate_json(hit.model_dump_json()).model_dump_json()
    assert miss.prompt == "And now?"
    assert model.keep() == {"hits": 1, "misses": 2}
    assert inner.asked == 2


def test_a_model_is_loaded_when_it_is_first_asked(cache: ResponseCache) -> None:
    loads: list[Counting] = []

    def load() -> Counting:
        loads.append(Counting())
        return loads[-1]

    first = cached(NAME, cache, lambda: {"weights": 1}, load)
    assert len(loads) == 1  # it is unknown whether it can be loaded, and how it describes itself
    answer(first, REQUEST)
    assert isinstance(first, CachedModel)
    first.keep()
    second = cached(NAME, cache, lambda: {"weights": 1}, load)
    assert answer(second, REQUEST) == answer(first, REQUEST)
    assert isinstance(second, CachedModel)
    assert second.describe() == {"backend": "counting"}
    assert second.usage() == {}
    assert len(loads) == 1
    assert uncached(first) is uncached(loads[0]) is loads[0]
    answer(second, replace(REQUEST, prompt="And now?"))
    assert len(loads) == 2
    cached(ModelName("one", "moved/here"), cache, lambda: {"weights": 1}, load)
    assert len(loads) == 3


def test_what_was_not_kept_is_asked_again(cache: ResponseCache) -> None:
    """Answers are stored only when the run folder has them."""
    inner = Counting()
    answer(cached(NAME, cache, lambda: {"weights": 1}, lambda: inner), REQUEST)
    answer(cached(NAME, cache, lambda: {"weights": 1}, lambda: inner), REQUEST)
    assert inner.asked == 2


def test_failures_are_never_kept(cache: ResponseCache) -> None:
    inner = Counting()
    model = cached(NAME, cache, lambda: {"weights": 1}, lambda: inner)
    failing = replace(REQUEST, prompt="fail")
    for _ in range(2):
        assert answer(model, failing)[0].error == "no"
        assert isinstance(model, CachedModel)
        model.keep()
    assert inner.asked == 2


def test_another_identity_shares_nothing(cache: ResponseCache) -> None:
    inner = Counting()
    for identity in ({"weights": 1}, {"weights": 2}, {"weights": 1, "dtype": "float16"}):
        model = cached(NAME, cache, lambda identity=identity: identity, lambda: inner)
        answer(model, REQUEST)
        assert isinstance(model, CachedModel)
        model.keep()
    assert inner.asked == 3


def test_a_model_without_an_identity_is_not_wrapped(cache: ResponseCache) -> None:
    inner = Counting()
    assert cached(NAME, cache, lambda: None, lambda: inner) is inner


def test_a_model_that_changes_while_it_is_loaded_is_not_trusted(cache: ResponseCache) -> None:
    inner, weights = Counting(), [1]

    def load() -> Counting:
        weights[0] += 1
        return inner

    model = cached(NAME, cache, lambda: {"weights": weights[0]}, load)
    answer(model, REQUEST)
    assert isinstance(model, CachedModel)
    model.keep()
    answer(cached(NAME, cache, lambda: {"weights": 1}, lambda: inner), REQUEST)
    assert inner.asked == 2


def test_a_model_that_changes_after_its_answers_were_given_ends_the_run(cache: ResponseCache) -> None:
    state = {"weights": 1}
    first = cached(NAME, cache, lambda: dict(state), Counting)
    answer(first, REQUEST)
    assert isinstance(first, CachedModel)
    first.keep()
    second = cached(NAME, cache, lambda: dict(state), Counting)
    answer(second, REQUEST)
    state["weights"] = 2
    with pytest.raises(UserError, match="--model one: was changed during the run"):
        answer(second, replace(REQUEST, prompt="And now?"))


def test_a_kept_response_of_another_form_is_asked_again(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Counting()
    model = cached(NAME, cache, lambda: {"weights": 1}, lambda: inner)
    assert isinstance(model, CachedModel)
    key = request_key(model_id({"weights": 1}), REQUEST)
    cache.store(model_id({"weights": 1}), {key: {"response": "A cat.", "unheard_of": 1}}, [])
    assert answer(model, REQUEST)[0].response == "A dog."


# Runs


RUN = ["run", "--model", "scenes-small", "--max-new-tokens", "12", "--resamples", "0", "--batch-size", "2"]


def sessions(folder: Path) -> list[dict[str, Any]]:
    record = json.loads((folder / "run.json").read_text())
    return [session["cache"] for session in record["sessions"]]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that were loaded."""
    from eidolon.benchmark.run import planning

    names: list[str] = []

    def load(reference: Any, options: Any) -> Any:
        names.append(reference.text)
        return registry.load_model(reference, options)

    monkeypatch.setattr(planning, "load_model", load)
    return names


def test_a_second_run_is_served_without_the_model(cli: Cli, tmp_path: Path, loads: list[str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli(*RUN, "--limit", 4, "--out", one).code == 0
    assert cli(*RUN, "--limit", 4, "--out", two).code == 0
    assert loads == ["scenes-small"]
    for name in ("responses.jsonl", "judgements.jsonl", "scores.json", "samples.jsonl"):
        assert (one / "scenes-small" / name).read_bytes() == (two / "scenes-small" / name).read_bytes()
    records = [json.loads((out / "scenes-small/run.json").read_text()) for out in (one, two)]
    assert records[0]["model"] == records[1]["model"]
    assert sessions(one / "scenes-small") == [{"hits": 0, "misses": 4}]
    assert sessions(two / "scenes-small") == [{"hits": 4, "misses": 0}]


def test_a_larger_run_asks_for_the_rest(cli: Cli, tmp_path: Path, loads: list[str]) -> None:
    assert cli(*RUN, "--limit", 3, "--out", tmp_path / "one").code == 0
    assert cli(*RUN, "--limit", 5, "--out", tmp_path / "two").code == 0
    assert sessions(tmp_path / "two/scenes-small") == [{"hits": 3, "misses": 2}]
    assert cli(*RUN, "--limit", 5, "--out", tmp_path / "three", "--no-cache").code == 0
    assert sessions(tmp_path / "three/scenes-small") == [None]
    two, three = (tmp_path / out / "scenes-small/responses.jsonl" for out in ("two", "three"))
    assert two.read_bytes() == three.read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        ["--seed", "1"],
        ["--prompt", "brief"],
        ["--temperature", "0.7"],
        ["--top-p", "0.5"],
        ["--max-new-tokens", "13"],
        ["-M", "dtype=bfloat16"],
        ["-M", "system=Be brief."],
        ["-M", "attention=eager"],
    ],
    ids=" ".join,
)
def test_a_run_that_asks_for_something_else_shares_nothing(
    cli: Cli, tmp_path: Path, other: list[str]
) -> None:
    assert cli(*RUN, "--limit", 2, "--out", tmp_path / "one").code == 0
    assert cli(*RUN, "--limit", 2, "--out", tmp_path / "two", *other).code == 0
    assert sessions(tmp_path / "two/scenes-small") == [{"hits": 0, "misses": 2}]


def test_a_config_file_turns_the_cache_off(cli: Cli, tmp_path: Path, cache_folder: Path) -> None:
    (tmp_path / "c.yaml").write_text("cache: false\n")
    assert cli(*RUN, "--limit", 1, "--config", tmp_path / "c.yaml", "--out", tmp_path / "one").code == 0
    assert not cache_folder.exists()


def test_a_python_model_is_asked_every_time(cli: Cli, tmp_path: Path, picture_folder: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def generate(self, requests):\n        return ['A dog.' for _ in requests]\n"
    )
    for out in ("one", "two"):
        done = cli(
            "run", "--model", f"python/{tmp_path}/mine.py:Mine", "--dataset", f"folder/{picture_folder}",
            "--out", tmp_path / out,
        )  # fmt: skip
        assert done.code == 0
    (folder,) = (tmp_path / "two").glob("python*")
    assert sessions(folder) == [None]


def test_a_broken_cache_breaks_no_run(cli: Cli, tmp_path: Path, cache_folder: Path, caplog: Any) -> None:
    cache_folder.mkdir()
    broken_file(cache_folder / FILE)
    assert cli(*RUN, "--limit", 2, "--out", tmp_path / "one").code == 0
    assert len(read_lines(tmp_path / "one/scenes-small/responses.jsonl")) == 2
    assert caplog.text.count("the response cache") == 1


def test_a_wrong_size_is_said_in_one_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EIDOLON_CACHE_MAX_MB", "4GB")
    done = cli(*RUN, "--limit", 2, "--out", tmp_path / "one")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "EIDOLON_CACHE_MAX_MB=4GB: must be a whole number" in done.err


def test_a_size_of_nothing_keeps_nothing(
    cli: Cli, tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EIDOLON_CACHE_MAX_MB", "0")
    assert cli(*RUN, "--limit", 1, "--out", tmp_path / "one").code == 0
    assert not cache_folder.exists()


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EIDOLON_CACHE", str(tmp_path / "given"))
    assert response_cache.cache_folder() == tmp_path / "given"
    monkeypatch.delenv("EIDOLON_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert response_cache.cache_folder() == tmp_path / "xdg/eidolon"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert response_cache.cache_folder() == tmp_path / ".cache/eidolon"


def test_listing_and_clearing(cli: Cli, tmp_path: Path, cache_folder: Path) -> None:
    assert "0 responses" in cli("list", "cache").out
    assert not cache_folder.exists()
    assert cli(*RUN, "--model", "scenes-base", "--limit", 2, "--out", tmp_path / "one").code == 0
    listed = json.loads(cli("list", "cache", "--json").out)
    assert listed["path"] == str(cache_folder / FILE)
    assert listed["responses"] == 4
    assert listed["bytes"] > 0
    assert {name: model["responses"] for name, model in listed["models"].items()} == {
        "scenes-base": 2,
        "scenes-small": 2,
    }
    assert "scenes-base" in cli("list", "cache").out
    wrong = cli("list", "cache", "--clear", "scenes-bas")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "did you mean 'scenes-base'" in wrong.err
    assert "2 responses" in cli("list", "cache", "--clear", "scenes-base").out
    assert [*json.loads(cli("list", "cache", "--json").out)["models"]] == ["scenes-small"]
    assert json.loads(cli("list", "cache", "--json", "--clear", "all").out)["removed"] == 2
    assert cli("list", "models", "--clear", "all").code == 2
    broken_file(cache_folder / FILE)
    spoilt = cli("list", "cache")
    assert (spoilt.code, spoilt.err.count("\n")) == (2, 1)


# Models of one name that are not one model


def write_checkpoint(folder: Path) -> Path:
    shutil.copytree(shipped_models()["scenes-small"], folder)
    return folder


def swap_weights(folder: Path) -> None:
    """Change one number in the middle of the weights: neither their size nor any other file."""
    (weights,) = folder.glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 1
    weights.write_bytes(content)


def swap_template(folder: Path) -> None:
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + " ")


def swap_generation_config(folder: Path) -> None:
    config = folder / "generation_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token_id": 5}))


def swap_processor(folder: Path) -> None:
    name = next(n for n in ("preprocessor_config.json", "processor_config.json") if (folder / n).exists())
    config = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(config | {"more": 1}))


@pytest.mark.parametrize(
    "change", [swap_weights, swap_template, swap_generation_config, swap_processor], ids=lambda f: f.__name__
)
def test_one_folder_with_other_content_is_another_model(change: Any, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    reference = registry.resolve(f"transformers/{folder}")
    before = registry.identity(reference, {}, file_sha256)
    copy = registry.resolve(f"transformers/{write_checkpoint(tmp_path / 'copy')}")
    assert before == registry.identity(copy, {}, file_sha256)
    change(folder)
    assert registry.identity(reference, {}, file_sha256) != before


def test_weights_that_change_in_the_middle_are_another_model(
    cli: Cli, tmp_path: Path, faults: FaultRecorder
) -> None:
    """Size, ends and times of the file are as before, and no cache is used."""
    folder = write_checkpoint(tmp_path / "model")
    weights = folder / "more.safetensors"
    weights.write_bytes(bytes(5 << 20))
    before = weights.stat()
    command = ["run", "--model", f"transformers/{folder}", "--limit", 2, "--max-new-tokens", 2, "--no-cache"]
    command += ["--resamples", 10, "--out", tmp_path / "out"]
    assert cli(*command).code in (0, 3)
    (run,) = (path.parent for path in (tmp_path / "out").glob("*/run.json"))
    (run / "scores.json").unlink()
    with weights.open("r+b") as stream:
        stream.seek(5 << 19)
        stream.write(b"\x01")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = cli(*command)
    assert result.code == 2
    assert "holds a different run: model_files" in result.err
    assert not (run / "scores.json").exists()
    with weights.open("r+b") as stream:
        stream.seek(5 << 19)
        stream.write(b"\x00")
    assert cli(*command).code in (0, 3)
    faults.record("weights changed in the middle, size and time kept", healed=1)


def test_swapped_weights_are_asked_in_a_run(cli: Cli, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    run = ["run", "--model", f"transformers/{folder}", "--limit", 1, "--max-new-tokens", 4, "--resamples", 0]
    assert cli(*run, "--out", tmp_path / "one").code == 0
    swap_weights(folder)
    assert cli(*run, "--out", tmp_path / "two").code == 0
    (out,) = (tmp_path / "two").glob("transformers*")
    assert sessions(out) == [{"hits": 0, "misses": 1}]


def test_another_library_device_or_precision_is_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from eidolon.models.base import identity as identities

    reference = registry.resolve("scenes-small")
    found = [registry.identity(reference, {}, file_sha256)]
    found.append(registry.identity(reference, {"dtype": "float16"}, file_sha256))
    found.append(registry.identity(reference, {"thinking": "true"}, file_sha256))
    found.append(registry.identity(reference, {"system": "Be brief."}, file_sha256))
    with monkeypatch.context() as patch:
        patch.setattr(identities, "version", lambda name: "9.9")
        found.append(registry.identity(reference, {}, file_sha256))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 77)
        found.append(registry.identity(reference, {}, file_sha256))
    with monkeypatch.context() as patch:
        patch.setattr(identities, "own_code", lambda: "another")
        found.append(registry.identity(reference, {}, file_sha256))
    texts = [canonical(one) for one in found]
    assert len(set(texts)) == len(texts)
    assert (
        canonical(registry.identity(reference, {"dtype": "float32", "device": "cpu"}, file_sha256))
        == texts[0]
    )


def test_what_cannot_be_identified_has_no_identity(tmp_path: Path, replay_file: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    reference = registry.resolve(f"transformers/{folder}")
    assert registry.identity(reference, {"trust_remote_code": "true"}, file_sha256) is None
    (folder / "adapter_config.json").write_text("{}")
    assert registry.identity(reference, {}, file_sha256) is None
    (folder / "adapter_config.json").unlink()
    assert registry.identity(reference, {}, file_sha256) is not None
    with (folder / "chat_template.jinja").open("a") as template:
        template.write("{{ strftime_now('%d %b %Y') }}")
    assert registry.identity(reference, {}, file_sha256) is None
    assert registry.identity(registry.resolve(f"replay/{replay_file}"), {}, file_sha256) is None
    assert registry.identity(registry.resolve("python/mine.py:Mine"), {}, file_sha256) is None


def test_a_commit_of_the_hub_is_an_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    shelf = tmp_path / "models--some--model/snapshots"
    asked: list[str] = []

    def download(repository: str, name: str, revision: str) -> str:
        asked.append(revision)
        folder = shelf / {"main": "a" * 40, "v2": "b" * 40}[revision]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    reference = registry.ModelReference("transformers/some/model", "transformers", "some/model")
    one = registry.identity(reference, {}, file_sha256)
    other = registry.identity(reference, {"revision": "v2"}, file_sha256)
    assert asked == ["main", "v2"]
    assert one is not None
    assert other is not None
    assert one["checkpoint"] == {"hub": "some/model", "commit": "a" * 40}
    assert other["checkpoint"]["commit"] == "b" * 40


def test_an_endpoint_is_kept_only_under_the_users_name_for_its_state() -> None:
    def identity_of(url: str = "http://h:1/v1", **options: str) -> dict[str, Any] | None:
        return registry.identity(registry.resolve(f"openai/m@{url}"), options, file_sha256)

    assert identity_of() is None
    named = identity_of(revision="first")
    assert named is not None
    assert named == identity_of(revision="first", concurrency="2", price_in="1", timeout="5", retries="0")
    others = [
        identity_of(revision="second"),
        identity_of("http://h:2/v1", revision="first"),
        identity_of(revision="first", image_format="jpeg"),
        identity_of(revision="first", extra='{"top_k": 1}'),
        identity_of(revision="first", system="Be brief."),
        identity_of(revision="first", detail="low"),
    ]
    assert len({canonical(one) for one in [named, *others]}) == len(others) + 1


def test_ids_are_what_a_response_has_beside_its_answer() -> None:
    assert set(cached_model.IDS) == {"sample_id", "image_id", "generation"} <= set(Response.model_fields)


def test_a_served_model_is_asked_again_unless_its_state_has_a_name(
    cli: Cli, tmp_path: Path, picture_folder: Path
) -> None:
    with chat_server(fail_on_three) as server:
        run = ["run", "--model", server.name, "--dataset", f"folder/{picture_folder}", "--resamples", 0]
        run += ["-M", "retries=0", "--batch-size", 5]
        for out, options, asked in (
            ("one", [], (None, 10)),
            ("two", ["-M", "revision=first"], ({"hits": 0, "misses": 10}, 10)),
            ("three", ["-M", "revision=first", "-M", "concurrency=2"], ({"hits": 9, "misses": 1}, 1)),
            ("four", ["-M", "revision=second"], ({"hits": 0, "misses": 10}, 10)),
        ):
            before = len(server.bodies)
            assert cli(*run, *options, "--out", tmp_path / out).code == 3
            (folder,) = (path.parent for path in (tmp_path / out).glob("*/run.json"))
            assert (sessions(folder)[-1], len(server.bodies) - before) == asked
            failed = [row["sample_id"] for row in read_lines(folder / "responses.jsonl") if row["error"]]
            assert failed == ["3"]


def fail_on_three(_: int, body: dict[str, Any]) -> Answer:
    """A server that is down for one picture: that passes, and is nothing to keep."""
    red = picture_of(body).getpixel((0, 0))
    assert isinstance(red, tuple)
    return Answer(500, b"down") if red[0] == 60 else describe(body)
