"""The replay backend: recorded responses by sample, else by image."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eidolon.models.backends.registry import ModelReference, content_hash, load_model, resolve
from eidolon.models.base.model import Request
from eidolon.scorers.core.errors import UserError


def replay(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"replay/{path}"


def request(sample_id: str, image_id: int, generation: int = 0) -> Request:
    return Request(sample_id, image_id, Image.new("RGB", (2, 2)), "Describe.", generation)


def test_by_sample_then_by_image(tmp_path: Path) -> None:
    name = replay(
        tmp_path / "r.jsonl",
        [
            {
                "sample_id": "a",
                "image_id": 1,
                "response": "first",
                "completion_tokens": 4,
                "finish_reason": "length",
            },
            {"sample_id": "b", "image_id": 1, "response": "second", "finish_reason": "eos"},
        ],
    )
    found = list(
        load_model(name).generate([request("b", 1), request("a", 1), request("c", 1), request("d", 2)])
    )
    assert [r.response for r in found] == ["second", "first", "first", None]
    assert [r.sample_id for r in found] == ["b", "a", "c", "d"]
    assert (found[1].completion_tokens, found[1].finish_reason) == (4, "length")
    assert found[0].finish_reason == "unknown"
    assert found[3].error is not None
    assert "r.jsonl" in found[3].error


def test_a_question_is_not_answered_by_another_response_to_its_image(tmp_path: Path) -> None:
    name = replay(tmp_path / "r.jsonl", [{"sample_id": "a", "image_id": 1, "response": "yes"}])
    asked = [replace(request(sample_id, 1), is_question=True) for sample_id in ("a", "b")]
    assert [r.response for r in load_model(name).generate(asked)] == ["yes", None]


def test_generations(tmp_path: Path) -> None:
    rows = [{"sample_id": "a", "image_id": 1, "generation": g, "response": f"r{g}"} for g in range(2)]
    name = replay(tmp_path / "r.jsonl", rows)
    found = list(load_model(name).generate([request("a", 1, 1), request("a", 1, 0), request("a", 1, 2)]))
    assert [r.response for r in found] == ["r1", "r0", None]


def test_content_hash_follows_the_file(tmp_path: Path) -> None:
    name = replay(tmp_path / "r.jsonl", [{"image_id": 1, "response": "a"}])
    first = content_hash(resolve(name))
    replay(tmp_path / "r.jsonl", [{"image_id": 1, "response": "b"}])
    assert content_hash(resolve(name)) not in {first, None}


def test_content_hash_of_a_large_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(3 << 20))
    reference = ModelReference("m", "transformers", str(tmp_path))
    first = content_hash(reference)
    (tmp_path / "README.md").touch()
    assert content_hash(reference) == first
    (tmp_path / "model.safetensors").write_bytes(bytes((3 << 20) - 1) + b"\x01")
    assert content_hash(reference) != first


def test_content_hash_of_weights_that_changed_in_the_middle(tmp_path: Path) -> None:
    """Size, first and last bytes and the time of change are as before."""
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(5 << 20))
    reference = ModelReference("m", "transformers", str(tmp_path))
    first, times = content_hash(reference), weights.stat()
    with weights.open("r+b") as stream:
        stream.seek(5 << 19)
        stream.write(b"\x01")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content_hash(reference) != first


def test_slug() -> None:
    assert (
        ModelReference("transformers/llava-hf/llava-1.5-7b-hf", "", "").slug
        == "transformers-llava-hf-llava-1.5-7b-hf"
    )
    assert ModelReference("replay/../../x y.jsonl", "", "").slug == "replay-..-..-x-y.jsonl"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("replay/nowhere.jsonl", "no such file"),
        ("replai/x", "did you mean 'replay'"),
        ("transformers/./nowhere", "does not exist"),
        ("transformers", "transformers/NAME"),
        ("transformers/", "nothing follows"),
    ],
)
def test_mistakes(name: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load_model(name)


def test_folder_that_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(f"transformers/{tmp_path}")


def test_never_downloads_when_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        resolve("transformers/someone/no-such-model")


def test_valid_log_probabilities_are_kept(tmp_path: Path) -> None:
    given = {"a": [-0.5, 0, -3], "b": [0.5], "c": "high", "d": [float("-inf")], "e": None}
    rows = [
        {"sample_id": name, "image_id": 1, "response": "A cat.", "token_logprobs": value}
        for name, value in given.items()
    ]
    model = load_model(replay(tmp_path / "r.jsonl", rows))
    found = list(model.generate([request(name, 1) for name in given]))
    assert [response.token_logprobs for response in found] == [(-0.5, 0.0, -3.0), None, None, None, None]
    written = [json.loads(response.model_dump_json()) for response in found]
    assert ["token_logprobs" in row for row in written] == [True, False, False, False, False]
