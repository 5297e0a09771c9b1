"""The transformers backend with tiny random checkpoints of every supported architecture."""

import json
from typing import Any

import pytest

from tests.models.architecture_checks import NEW_TOKENS, examine
from tests.models.beside_torchvision import beside_torchvision
from tests.models.tiny_hybrids import ALL_ARCHITECTURES, BY_NAME

NAMES = [architecture.name for architecture in ALL_ARCHITECTURES]


@pytest.fixture(scope="session")
def examined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The findings by name, computed on demand."""
    return {}


@pytest.fixture
def found(name: str, examined: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if name not in examined:
        if BY_NAME[name].torchvision:
            names = [architecture.name for architecture in ALL_ARCHITECTURES if architecture.torchvision]
            examined |= beside_torchvision("tests.models.architecture_checks", names, tmp_path_factory)
        else:
            # Through JSON, as the findings from the other process.
            examined[name] = json.loads(json.dumps(examine(BY_NAME[name], tmp_path_factory.mktemp(name))))
    assert "failed" not in examined[name], examined[name]["failed"]
    return examined[name]


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_with_its_class(name: str, found: dict[str, Any]) -> None:
    described = found["described"]
    assert described["class"] == BY_NAME[name].class_name
    assert described["chat_template"] is BY_NAME[name].chat_template
    assert described["unused_weights"] == 0
    assert found["usage"] == {}, "no batch had to be taken apart"


@pytest.mark.parametrize("name", NAMES)
def test_answers_do_not_depend_on_the_padding(name: str, found: dict[str, Any]) -> None:
    """Padding must not enter a hybrid's state, encoders count positions from the first column, …"""
    widths = {answer["prompt_tokens"] for answer in found["alone"]}
    assert len(widths) == 3, "the prompts differ in length, so two of them are padded"
    for alone, together in zip(found["alone"], found["together"], strict=True):
        assert alone["token_logprobs"] == pytest.approx(together["token_logprobs"], abs=2e-3)
        assert alone | {"token_logprobs": 0} == together | {"token_logprobs": 0}


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_as_long_as_allowed(name: str, found: dict[str, Any]) -> None:
    for answer, row in zip(found["alone"], found["rows"], strict=True):
        assert answer["error"] is None
        assert len(row) <= NEW_TOKENS
        if answer["finish_reason"] == "length":
            assert answer["completion_tokens"] == NEW_TOKENS
            assert len(answer["token_logprobs"]) == NEW_TOKENS
    assert any(answer["finish_reason"] == "length" for answer in found["alone"])


@pytest.mark.parametrize("name", NAMES)
def test_answers_end_where_the_checkpoint_says(name: str, found: dict[str, Any]) -> None:
    """With another end-of-text token in its generation_config, an answer ends at that token."""
    stopped = [found["end"] in row for row in found["rows"]]
    assert any(stopped)
    for ended, row, stops in zip(found["ended"], found["rows"], stopped, strict=True):
        if stops:
            assert ended["finish_reason"] == "stop"
            assert ended["completion_tokens"] == row.index(found["end"]) + 1


@pytest.mark.parametrize("name", NAMES)
def test_the_image_matters(name: str, found: dict[str, Any]) -> None:
    (seen, *_), (blank, *_) = found["alone"][0]["token_logprobs"], found["black"]["token_logprobs"]
    assert abs(seen - blank) > 1e-3


@pytest.mark.parametrize("name", ["qwen3_5", "qwen4_exp"])
def test_thinking_is_off(name: str, found: dict[str, Any]) -> None:
    assert all(prompt.endswith("<think>\n</think>\n") for prompt in found["prompts"])
    assert all(answer["reasoning"] is None for answer in found["alone"])
