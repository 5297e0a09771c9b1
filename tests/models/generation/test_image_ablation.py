"""Prompts without their images, with the shipped architecture and others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Request
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.image_ablation import (
    FORMS,
    Form,
    ablate,
    check_form,
    image_token_mask,
    shuffle_images,
)
from eidolon.models.generation.token_reader import TokenReader
from eidolon.models.probing.teacher_forcing import force
from eidolon.scorers.core.errors import UserError
from tests.models.tiny_vl import TinyMllama, TinyQwen35, save_llava

PROMPTS = ("Describe this image in detail.", "Is there a cup in the image?", "What?")
CONNECTORS = {
    "idefics3": "model.connector",
    "llava": "model.multi_modal_projector",
    "qwen": "model.visual.merger",
}
"""The last module of each model that processes the image only."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("llava")
    save_llava(folder)
    return {
        "idefics3": TransformersModel(str(shipped_models()["scenes-small"])),
        "llava": TransformersModel(str(folder)),
        "qwen": TinyQwen35(),
    }


@pytest.fixture(params=[*CONNECTORS])
def model(request: pytest.FixtureRequest, models: dict[str, Any]) -> Any:
    return models[request.param]


def batch(first: int = 0) -> list[Request]:
    """Three scenes with prompts of different lengths."""
    return [
        Request(str(i), i, render(make_scene(5, first + i, Dials())), prompt)
        for i, prompt in enumerate(PROMPTS)
    ]


def logits(model: Any, inputs: Any) -> torch.Tensor:
    return TokenReader(model.model, inputs).read_prompt()[:, -1]


@contextmanager
def blind(model: Any, models: dict[str, Any]) -> Iterator[None]:
    """Let the model's connector return zeros for any image."""
    name = next(name for name, one in models.items() if one is model)
    connector = model.model.get_submodule(CONNECTORS[name])

    def zero(_: Any, __: Any, output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return torch.zeros_like(output)
        output["pooler_output"] = torch.zeros_like(output["pooler_output"])
        return output

    handle = connector.register_forward_hook(zero)
    try:
        yield
    finally:
        handle.remove()


def test_dropped_is_the_processors_own_rendering_without_an_image(models: dict[str, Any]) -> None:
    for name in ("idefics3", "llava"):
        model = models[name]
        inputs = ablate(model, batch(), "dropped")
        assert set(inputs) == {"input_ids", "attention_mask"}
        for row, (ids, mask) in enumerate(zip(inputs["input_ids"], inputs["attention_mask"], strict=True)):
            message = [{"role": "user", "content": [{"type": "text", "text": PROMPTS[row]}]}]
            text = model.processor.apply_chat_template(message, add_generation_prompt=True)
            expected = model.processor.tokenizer(text)["input_ids"]
            assert ids[mask.bool()].tolist() == expected
            assert ids[: len(ids) - len(expected)].eq(model.processor.tokenizer.pad_token_id).all()


def test_dropped_of_a_model_without_a_chat_template_is_the_bare_prompt(tmp_path: Path) -> None:
    save_llava(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    model = TransformersModel(str(tmp_path))
    inputs = ablate(model, batch(), "dropped")
    rows = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]
    assert rows == [model.processor.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]


@pytest.mark.parametrize("form", ["dropped", "zeroed", "neutral"])
def test_the_image_has_no_effect(model: Any, form: Form) -> None:
    here, there = (logits(model, ablate(model, batch(first), form)) for first in (0, 50))
    with_pictures = [logits(model, model.prepare(batch(first))) for first in (0, 50)]
    assert (here - there).abs().max() < 1e-6
    assert (with_pictures[0] - with_pictures[1]).abs().max() > 1e-2, "else the test says nothing"
    assert (here - with_pictures[0]).abs().max() > 1e-2


@pytest.mark.parametrize("form", ["zeroed", "neutral", "shuffled"])
def test_positions_are_kept(model: Any, form: Form) -> None:
    inputs, ablated = model.prepare(batch()), ablate(model, batch(), form)
    assert torch.equal(inputs["input_ids"], ablated["input_ids"])
    assert torch.equal(inputs["attention_mask"], ablated["attention_mask"])
    given = [{k: v for k, v in one.items() if k != "input_ids"} for one in (inputs, ablated)]
    positions = [model.model._prepare_position_ids_for_generation(inputs["input_ids"], one) for one in given]
    assert torch.equal(*positions)


def test_zeroed_is_the_model_with_a_connector_that_returns_zeros(model: Any, models: dict[str, Any]) -> None:
    ablated = ablate(model, batch(), "zeroed")
    assert not any(name.startswith("pixel") for name in ablated)
    places = image_token_mask(model.model, ablated["input_ids"])
    assert places.any(dim=1).all()
    assert (ablated["inputs_embeds"][places] == 0).all()
    with blind(model, models):
        twin = logits(model, model.prepare(batch()))
    assert (logits(model, ablated) - twin).abs().max() < 1e-5


def test_all_forms_in_place_are_equal_for_a_blind_model(model: Any, models: dict[str, Any]) -> None:
    """A model that ignores its image does not depend on what is removed."""
    with blind(model, models):
        full = logits(model, model.prepare(batch()))
        for form in ("zeroed", "neutral", "shuffled"):
            assert (logits(model, ablate(model, batch(), form)) - full).abs().max() < 1e-5


def test_a_continuation_can_be_forced_on_every_form(model: Any, models: dict[str, Any]) -> None:
    """Prompt dependency needs it. `zeroed` is compared again with the connector that returns zeros."""
    continuations = [[20, 21, 22, 23], [30, 31], [40, 41, 42]]

    def forced(inputs: Any) -> torch.Tensor:
        chunks = [*force(model.model, inputs, continuations, width=3)]
        alive = torch.cat([chunk.mask for chunk in chunks], dim=1)
        return torch.cat([chunk.logits for chunk in chunks], dim=1)[alive]

    found = {form: forced(ablate(model, batch(), form)) for form in FORMS}
    seen = forced(model.prepare(batch()))
    assert all((one - seen).abs().max() > 1e-3 for one in found.values())
    with blind(model, models):
        assert (found["zeroed"] - forced(model.prepare(batch()))).abs().max() < 1e-5


def test_shuffled_is_another_requests_image(model: Any) -> None:
    requests = batch()
    donors = shuffle_images([request.image_id for request in requests], 3)
    ablated = ablate(model, requests, "shuffled", seed=3)
    full = model.prepare(requests)["pixel_values"].reshape(3, -1)
    dealt = ablated["pixel_values"].reshape(3, -1)
    for row, donor in enumerate(donors):
        assert torch.equal(dealt[row], full[donor])
        assert not torch.equal(dealt[row], full[row])


def test_neutral_is_grey_and_of_the_same_size(models: dict[str, Any]) -> None:
    """The processors here subtract a mean: an image of that mean becomes zero, up to rounding."""
    for name in ("idefics3", "llava"):
        wide = [Request("0", 0, Image.effect_noise((90, 40), 80).convert("RGB"), "What?")]
        pixel_values = ablate(models[name], wide, "neutral")["pixel_values"]
        assert pixel_values.abs().max() < 0.02
        assert pixel_values.shape == models[name].prepare(wide)["pixel_values"].shape


IMAGE_IDS = st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(lambda ids: len(set(ids)) > 1)


@given(IMAGE_IDS, st.integers(0, 2**32))
def test_no_request_gets_its_own_image(image_ids: list[int], seed: int) -> None:
    donors = shuffle_images(image_ids, seed)
    assert len(donors) == len(image_ids)
    assert all(image_ids[donor] != own for donor, own in zip(donors, image_ids, strict=True))
    assert donors == shuffle_images(image_ids, seed)
    if 2 * max(image_ids.count(one) for one in image_ids) <= len(image_ids):
        assert sorted(donors) == list(range(len(image_ids))), (
            "every image is assigned once if that is possible"
        )


def test_the_seed_decides() -> None:
    deals = {tuple(shuffle_images(range(8), seed)) for seed in range(30)}
    assert len(deals) > 20


def test_one_image_cannot_be_shuffled(models: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="about image 7"):
        shuffle_images([7, 7, 7], 0)


@pytest.mark.parametrize("form", FORMS)
def test_these_architectures_support_every_form(model: Any, form: Form) -> None:
    check_form(model, form)


def test_images_that_enter_by_cross_attention_cannot_be_zeroed() -> None:
    model = TinyMllama()
    check_form(model, "dropped")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"without=zeroed: MllamaForConditionalGeneration does not insert"):
        check_form(model, "zeroed")  # type: ignore[arg-type]


def test_a_model_that_requires_an_image_is_refused(models: dict[str, Any]) -> None:
    model = models["llava"]
    forward = type(model.model).forward

    def insist(self: Any, *, pixel_values: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if pixel_values is None:
            raise ValueError("you must give pixel_values")
        return forward(self, pixel_values=pixel_values, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.model), "forward", insist)
        with pytest.raises(UserError, match=r"without=dropped: LlavaFor.*you must give pixel_values"):
            check_form(model, "dropped")


def test_encoder_decoder_models_are_refused(models: dict[str, Any]) -> None:
    model = models["llava"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.model.config, "is_encoder_decoder", True)
        with pytest.raises(UserError, match="encoder-decoder"):
            check_form(model, "dropped")
