import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Decoding, Request, request_seed
from eidolon.models.base.shipped import shipped_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

CHECKPOINT = shipped_models()["scenes-small"]
PROMPTS = ("Describe this image in detail.", "Is there a cup in the image?", "What is in the image?")


def requests(n: int, decoding: Decoding) -> list[Request]:
    return [
        Request(str(i), i, render(make_scene(77, i, Dials())), PROMPTS[i % 3], decoding=decoding)
        for i in range(n)
    ]


def answer(model: TransformersModel, asked: list[Request], batch: int) -> list[Response]:
    return [r for start in range(0, len(asked), batch) for r in model.generate(asked[start : start + batch])]


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    return TransformersModel(str(CHECKPOINT))


def test_padding_in_a_batch_does_not_change_the_answer(model: TransformersModel) -> None:
    """Greedy answers alone and in a batch of prompts of different lengths; ties may break differently."""
    asked = requests(18, Decoding(max_new_tokens=60))
    alone, together = answer(model, asked, 1), answer(model, asked, 9)
    assert sum(a.response == b.response for a, b in zip(alone, together, strict=True)) >= 17
    assert [a.prompt_tokens for a in alone] == [b.prompt_tokens for b in together]


def test_each_response_has_its_finish_reason(model: TransformersModel) -> None:
    long = answer(model, requests(6, Decoding(max_new_tokens=5)), 6)
    for response in long:
        assert response.completion_tokens is not None
        ended = response.finish_reason == "stop"
        assert response.completion_tokens <= 5 if ended else response.completion_tokens == 5
    assert {r.finish_reason for r in long} == {"length", "stop"}, (
        "yes/no ends in time, a description does not"
    )
    assert all(r.finish_reason == "stop" for r in answer(model, requests(6, Decoding(max_new_tokens=400)), 6))


def test_token_ends_are_the_ends_of_words(model: TransformersModel) -> None:
    for response in answer(model, requests(3, Decoding(max_new_tokens=40)), 3):
        text, ends = response.response, response.token_ends
        assert text is not None
        assert ends is not None
        assert list(ends) == sorted(ends)
        assert ends[-1] == len(text)
        assert len(ends) == (response.completion_tokens or 0) - (response.finish_reason == "stop")


def test_sampling_is_seeded(model: TransformersModel) -> None:
    def sampled(seed: int) -> list[str | None]:
        decoding = Decoding(max_new_tokens=30, temperature=1.0, seed=seed)
        return [r.response for r in answer(model, requests(4, decoding), 4)]

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_a_sampled_response_does_not_depend_on_its_batch(model: TransformersModel) -> None:
    decoding = Decoding(max_new_tokens=40, temperature=1.0, top_p=0.9)
    asked = [
        replace(request, decoding=replace(decoding, seed=request_seed(3, request.sample_id, 0)))
        for request in requests(18, decoding)
    ]
    together, alone = answer(model, asked, 9), answer(model, asked, 1)
    assert sum(a.response == b.response for a, b in zip(alone, together, strict=True)) >= 17
    backwards = answer(model, asked[::-1], 9)[::-1]
    assert sum(a.response == b.response for a, b in zip(backwards, together, strict=True)) >= 17


def test_a_models_own_generation_config_changes_nothing(model: TransformersModel, tmp_path: Path) -> None:
    checkpoint = tmp_path / "odd"
    shutil.copytree(CHECKPOINT, checkpoint)
    own = json.loads((checkpoint / "generation_config.json").read_text())
    own |= {
        "do_sample": True,
        "temperature": 5.0,
        "repetition_penalty": 9.0,
        "num_beams": 3,
        "max_length": 60,
    }
    own |= {"no_repeat_ngram_size": 1, "suppress_tokens": [300, 301]}
    (checkpoint / "generation_config.json").write_text(json.dumps(own))
    asked = requests(3, Decoding(max_new_tokens=40))
    expected = [r.response for r in answer(model, asked, 3)]
    assert [r.response for r in answer(TransformersModel(str(checkpoint)), asked, 3)] == expected


def test_a_model_without_a_chat_template_still_sees_the_image(tmp_path: Path) -> None:
    checkpoint = tmp_path / "bare"
    shutil.copytree(CHECKPOINT, checkpoint)
    (checkpoint / "chat_template.jinja").unlink()
    bare = TransformersModel(str(checkpoint))
    assert bare.describe()["chat_template"] is False
    scene, decoding = render(make_scene(1, 1, Dials())), Decoding(max_new_tokens=20)
    prompt = "User: Describe this image in detail.<end_of_utterance>\nAssistant:"
    asked = [
        Request(str(i), i, image, prompt, decoding=decoding)
        for i, image in enumerate((scene, Image.new("RGB", (64, 64))))
    ]
    (seen, blank) = answer(bare, asked, 2)
    assert seen.response
    assert seen.response != blank.response


def test_a_template_that_opens_a_thinking_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Templates without a switch always do. What is generated is then no answer until the block is closed."""
    checkpoint = tmp_path / "thinks"
    shutil.copytree(CHECKPOINT, checkpoint)
    template = checkpoint / "chat_template.jinja"
    assert template.read_text().count("'Assistant:'") == 1
    template.write_text(template.read_text().replace("'Assistant:'", "'Assistant:<think>'"))
    thinks = TransformersModel(str(checkpoint))
    assert "opens a thinking block although thinking is off" in caplog.text
    (cut,) = answer(thinks, requests(1, Decoding(max_new_tokens=20)), 1)
    assert cut.response == ""
    assert cut.reasoning
    assert cut.completion_tokens == 20


def test_a_batch_has_one_decoding(model: TransformersModel) -> None:
    mixed = [*requests(1, Decoding(max_new_tokens=5)), *requests(1, Decoding(max_new_tokens=6))]
    with pytest.raises(ValueError, match="share one decoding"):
        list(model.generate(mixed))


def test_its_description_is_json(model: TransformersModel) -> None:
    described = json.loads(json.dumps(model.describe()))
    assert described["class"] == "Idefics3ForConditionalGeneration"
    assert described["dtype"] == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtyp": "float32"}, "did you mean 'dtype'"),
        ({"dtype": "float8"}, "-M dtype=float8"),
        ({"device": "abacus"}, "-M device=abacus"),
        ({"trust_remote_code": "perhaps"}, "-M trust_remote_code=perhaps"),
    ],
)
def test_wrong_options_are_the_users(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TransformersModel(str(CHECKPOINT), **options)


def test_a_broken_checkpoint_is_the_users(tmp_path: Path) -> None:
    checkpoint = tmp_path / "broken"
    shutil.copytree(CHECKPOINT, checkpoint)
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot be loaded"):
        TransformersModel(str(checkpoint))


def test_weights_that_do_not_fit_the_architecture_are_refused(tmp_path: Path) -> None:
    """Otherwise missing weights would be random, and the scores meaningless."""
    from safetensors.torch import load_file, save_file

    checkpoint = tmp_path / "holes"
    shutil.copytree(CHECKPOINT, checkpoint)
    weights = load_file(checkpoint / "model.safetensors")
    lost = next(name for name in weights if "connector" in name)
    del weights[lost]
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks weights"):
        TransformersModel(str(checkpoint))


def test_larger_images_are_scaled_down(tmp_path: Path) -> None:
    """The answer to a large image equals that to the image scaled down before; a small one does not change."""
    limited = TransformersModel(str(CHECKPOINT), max_pixels="2500")
    assert limited.describe()["max_pixels"] == 2500
    unlimited = TransformersModel(str(CHECKPOINT))
    asked = requests(2, Decoding(max_new_tokens=12))
    smaller = [replace(r, image=r.image.resize((50, 50), Image.Resampling.LANCZOS)) for r in asked]
    assert asked[0].image.size > (50, 50)
    seen = [limited.prepare([r])["pixel_values"] for r in (asked[0], smaller[0])]
    assert seen[0].equal(seen[1])
    assert not seen[0].equal(unlimited.prepare([asked[0]])["pixel_values"])
    assert answer(limited, asked, 2) == answer(unlimited, smaller, 2)


def test_a_model_may_be_spread_over_devices(model: TransformersModel, tmp_path: Path) -> None:
    """Here everything is on the CPU except one layer, which is loaded from disk when it is needed."""
    text = {f"model.text_model.{part}": "cpu" for part in ("embed_tokens", "layers.0", "layers.2", "norm")}
    parts = {
        "model.vision_model": "cpu",
        "model.connector": "cpu",
        **text,
        "model.text_model.rotary_emb": "cpu",
        "model.text_model.layers.1": "disk",
        "lm_head": "cpu",
    }
    spread = TransformersModel(
        str(CHECKPOINT), device_map=json.dumps(parts), offload_folder=str(tmp_path / "weights")
    )
    assert spread.describe()["device_map"] == parts
    assert {str(place) for place in spread.model.hf_device_map.values()} == {"cpu", "disk"}
    asked = requests(3, Decoding(max_new_tokens=12))
    assert answer(spread, asked, 3) == answer(model, asked, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device_map": "everywhere"}, "-M device_map=everywhere"),
        ({"device_map": "{broken"}, "-M device_map={broken: .*not JSON"),
        ({"device_map": "auto", "device": "cpu"}, "-M device=cpu: .*device_map"),
        ({"max_memory": '{"cpu": "1GiB"}'}, "-M max_memory=.*device_map"),
        ({"max_pixels": "0"}, "-M max_pixels=0"),
    ],
)
def test_wrong_placement_options_are_the_users(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TransformersModel(str(CHECKPOINT), **options)
