"""Continuations of given tokens, against a naive twin and against the model's own answers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import ContinuingModel, Decoding, Request
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.token_log import token_log
from tests.models.architecture_checks import requests as tiny_requests
from tests.models.tiny_checkpoints import BY_NAME

GREEDY = Decoding(max_new_tokens=24)
SAMPLED = Decoding(max_new_tokens=24, temperature=0.8, seed=5)


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    return TransformersModel(str(shipped_models()["scenes-small"]))


def request(index: int, decoding: Decoding = GREEDY) -> Request:
    picture = render(make_scene(91, index, Dials()))
    return Request(str(index), index, picture, "Describe this image in detail.", decoding=decoding)


def naive(model: TransformersModel, asked: Request, given: tuple[int, ...]) -> list[int]:
    """Return the likeliest next tokens; the whole text is read again for each, without a batch."""
    inputs = dict(
        model.processor(
            text=[f"User:<image> {asked.prompt}<end_of_utterance>\nAssistant:"],
            images=[[asked.image]],
            return_tensors="pt",
        )
    )
    prompt = inputs["input_ids"]
    tokens = list(given)
    for _ in range(asked.decoding.max_new_tokens):
        inputs["input_ids"] = torch.cat([prompt, torch.tensor([tokens], dtype=torch.int64)], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad():
            best = int(model.model(**inputs, use_cache=False).logits[0, -1].argmax())
        if best in model.end_ids:
            break
        tokens.append(best)
    return tokens


def test_it_continues_as_the_naive_twin_does(model: TransformersModel) -> None:
    assert isinstance(model, ContinuingModel)
    given = [model.encode_reply("I can see a cup and a fork."), model.encode_reply("Overall, the day"), ()]
    asked = [request(i) for i in range(3)]
    responses = {r.sample_id: r for r in model.continue_replies(asked, given)}
    for one, begun in zip(asked, given, strict=True):
        tokens = naive(model, one, begun)
        response = responses[one.sample_id]
        assert response.response == model.decode_reply(tokens).strip()
        assert response.completion_tokens == len(tokens) + (response.finish_reason == "stop")
        assert response.response.startswith(model.decode_reply(begun))
        assert response.token_ends is not None
        assert response.token_ends[-1] == len(response.response)
    (plain,) = model.generate([request(0)])
    assert responses["0"].prompt_tokens == plain.prompt_tokens


def test_it_continues_the_start_of_its_own_answer_with_the_rest(model: TransformersModel) -> None:
    asked = [request(i) for i in range(4, 8)]
    with token_log() as noted:
        whole = {r.sample_id: r for r in model.generate(asked)}
    for cut in (1, 9):
        shorter = [replace(one, decoding=Decoding(max_new_tokens=24 - cut)) for one in asked]
        begun = [noted[one.sample_id, 0][:cut] for one in asked]
        assert {r.sample_id: r for r in model.continue_replies(shorter, begun)} == whole


def test_the_rest_of_the_batch_changes_nothing(model: TransformersModel) -> None:
    asked = [replace(request(0, SAMPLED), generation=i) for i in range(3)]
    given = [
        model.encode_reply(text) for text in ("There is a", "In general, the day is long. I can see", "")
    ]
    together = list(model.continue_replies(asked, given))
    assert [r.generation for r in together] == [0, 1, 2]
    for one, begun, response in zip(asked, given, together, strict=True):
        assert list(model.continue_replies([one], [begun])) == [response]


@pytest.mark.parametrize("name", ["llava", "idefics3", "gemma3"])
def test_other_architectures_continue_the_start_of_their_own_answers(name: str, tmp_path: Path) -> None:
    BY_NAME[name].make(tmp_path)
    model = TransformersModel(str(tmp_path))
    asked = [replace(one, decoding=Decoding(max_new_tokens=12)) for one in tiny_requests()]
    with token_log() as noted:
        whole = {r.sample_id: r.response for r in model.generate(asked)}
    begun = [noted[one.sample_id, 0][:3] for one in asked]
    shorter = [replace(one, decoding=Decoding(max_new_tokens=9)) for one in asked]
    assert {r.sample_id: r.response for r in model.continue_replies(shorter, begun)} == whole


def test_a_turn_that_fails_alone_does_not_affect_others(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = model._run

    def failing(asked, given=None, **settings):  # type: ignore[no-untyped-def]
        if any(one.sample_id == "1" for one in asked):
            raise ValueError("a broken picture")
        return run(asked, given, **settings)

    monkeypatch.setattr(model, "_run", failing)
    begun = model.encode_reply("I can see")
    found = {r.sample_id: r for r in model.continue_replies([request(i) for i in range(3)], [begun] * 3)}
    assert found["1"].error == "ValueError: a broken picture"
    assert found["0"].response is not None
    assert found["2"].response is not None
    assert found["2"].response.startswith("I can see")
