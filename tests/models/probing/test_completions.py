"""Log-probabilities of continuations, the picture shown twice, and attention on the picture, against naive twins."""

import numpy as np
import pytest
import torch

from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import (
    AttendingModel,
    CompletingModel,
    Failure,
    PictureAttention,
    ReshowingModel,
    ScoredRequest,
)
from eidolon.models.base.shipped import shipped_models
from eidolon.models.probing.picture_attention import eager_attention
from eidolon.models.probing.teacher_forcing import teacher_force
from tests.models.probing.test_continuation import request


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    return TransformersModel(str(shipped_models()["scenes-small"]))


def test_completions_are_those_of_teacher_forcing(model: TransformersModel) -> None:
    assert isinstance(model, CompletingModel)
    asked = [
        ScoredRequest(
            request(0),
            model.encode_reply("I can see a dog. There is also"),
            (
                model.encode_within(" a cup"),
                model.encode_within(" a traffic light"),
                model.encode_within(" a"),
            ),
        ),
        ScoredRequest(request(1), (), (model.encode_reply("There is an umbrella and a bench."),)),
    ]
    for one, found in zip(asked, model.score_completions(asked), strict=True):
        assert not isinstance(found, Failure)
        assert len(found) == len(one.texts)
        for text, value in zip(one.texts, found, strict=True):
            chunks = teacher_force(model, [one.request], [(*one.given, *text)])
            wanted = torch.cat([chunk.log_probabilities()[0] for chunk in chunks])[len(one.given) :]
            assert value == pytest.approx(float(wanted.sum()), abs=1e-3)


def test_a_picture_shown_again_is_two_pictures_in_the_prompt(model: TransformersModel) -> None:
    assert isinstance(model, ReshowingModel)
    text = "I can see a cup and a fork."
    asked = [request(i) for i in range(2)]
    responses = {
        r.sample_id: r.response or "" for r in model.continue_reshown(asked, [model.encode_reply(text)] * 2)
    }
    for one in asked:
        inputs = dict(
            model.processor(
                text=[f"User:<image> {one.prompt}<end_of_utterance>\nAssistant: {text}<image>"],
                images=[[one.image, one.image]],
                return_tensors="pt",
            )
        )
        with torch.no_grad():
            logits = model.model(**inputs, use_cache=False).logits[0, -1]
        first = int(logits.argmax())
        if first in model.end_ids:
            assert responses[one.sample_id] == text
        else:
            assert responses[one.sample_id][len(text) :].startswith(model.tokenizer.decode([first]).rstrip())


def test_attention_is_that_of_one_whole_pass(model: TransformersModel) -> None:
    assert isinstance(model, AttendingModel)
    asked = [request(i) for i in range(3)]
    texts = [
        model.encode_reply(text)
        for text in ("I can see a cup and a fork. " * 5, "A cat.", "Overall, the day")
    ]
    before = model.model.config._attn_implementation
    found = model.read_attention(asked, texts)
    assert model.model.config._attn_implementation == before
    for one, text, seen in zip(asked, texts, found, strict=True):
        assert isinstance(seen, PictureAttention)
        inputs = dict(model.prepare([one]))
        prompt = inputs["input_ids"]
        picture = (prompt[0] == model.model.config.image_token_id).numpy()
        assert (seen.picture_tokens, seen.prompt_tokens) == (picture.sum(), len(picture))
        inputs["input_ids"] = torch.cat([prompt, torch.tensor([list(text)])], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with eager_attention(model), torch.no_grad():
            layers = model.model(**inputs, use_cache=False, output_attentions=True).attentions
        for layer, mass, entropy in zip(layers, seen.mass, seen.entropy, strict=True):
            weights = layer[0].numpy()[:, len(picture) :]
            np.testing.assert_allclose(
                mass, weights[..., : len(picture)][..., picture].sum(-1).mean(0), atol=1e-4
            )
            spread = -(weights * np.log(np.maximum(weights, 1e-30))).sum(-1).mean(0)
            np.testing.assert_allclose(entropy, spread, atol=1e-3)
