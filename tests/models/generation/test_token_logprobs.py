"""Log-probabilities gathered step by step, against one pass over the whole text."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from eidolon.models.backends.registry import load_model
from eidolon.models.base.model import Request
from eidolon.models.generation.token_logprobs import TokenLogprobs
from tests.models.architecture_checks import requests
from tests.models.tiny_checkpoints import make_llava


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("llava")
    make_llava(folder)
    return load_model(f"transformers/{folder}", {"logprobs": "true"})


def taught(model: Any, request: Request, row: list[int]) -> list[float]:
    """Return log p of each token of an answer, from one forward pass over prompt and answer."""
    inputs = model.prepare([request])
    prompt = inputs["input_ids"]
    whole = torch.cat([prompt, torch.tensor([row])], dim=1)
    with torch.inference_mode():
        logits = model.model(
            input_ids=whole, attention_mask=torch.ones_like(whole), pixel_values=inputs["pixel_values"]
        ).logits[0]
    chances = logits.double().softmax(dim=-1).log()
    return [float(chances[prompt.shape[1] - 1 + i, token]) for i, token in enumerate(row)]


@pytest.mark.parametrize("temperature", [0.0, 1.7])
def test_they_are_the_models_own(model: Any, temperature: float) -> None:
    """Also in a padded batch, and with tokens drawn by temperature and top-p."""
    asked = [
        replace(r, decoding=replace(r.decoding, temperature=temperature, top_p=0.8, seed=i))
        for i, r in enumerate(requests())
    ]
    rows = model._run(asked)[0]
    for request, row, response in zip(asked, rows, model.generate(asked), strict=True):
        assert response.token_logprobs is not None
        assert len(response.token_logprobs) == len(response.token_ends or ())
        expected = taught(model, request, row[: len(response.token_logprobs)])
        assert response.token_logprobs == pytest.approx(expected, abs=2e-4)


def test_they_are_left_out_by_default(model: Any) -> None:
    options = model.options
    model.options = options.model_copy(update={"logprobs": False})
    response = next(iter(model.generate(requests()[:1])))
    model.options = options
    assert response.token_logprobs is None
    assert "token_logprobs" not in response.model_dump()


def test_without_tokens_there_are_none() -> None:
    assert TokenLogprobs().finish(torch.zeros(2, 3, dtype=torch.long)) == [[], []]
