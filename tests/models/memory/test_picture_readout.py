"""What fading memories still give out of the picture, against layers that are run by hand."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import PictureAttention, Request
from eidolon.models.memory.picture_readout import fading_layers
from tests.models.memory.tiny import save_eye, save_memory


@pytest.fixture(scope="module")
def eye(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_eye(tmp_path_factory.mktemp("eye"))


@pytest.mark.parametrize("layout", ["GDN", "M2", "GKA"])
def test_the_readout_is_that_of_layers_run_by_hand(tmp_path: Path, eye: Path, layout: str) -> None:
    model = TransformersModel(str(save_memory(tmp_path / layout, eye, layout)))
    request = Request(
        "a", 1, Image.effect_noise((32, 32), 60).convert("RGB"), "Describe this image in detail."
    )
    text = model.encode_reply("There is a cup in the image")
    (found,) = model.read_attention([request], [text])
    assert isinstance(found, PictureAttention)
    assert (found.mass, found.entropy) == ((), ())
    (layer,) = fading_layers(model.model)
    inputs = dict(model.prepare([request]))
    prompt = inputs["input_ids"]
    picture = prompt == model.model.config.image_token_id
    assert found.picture_tokens == int(picture.sum()) > 0
    entered: list[torch.Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    inputs["input_ids"] = torch.cat([prompt, torch.tensor([list(text)])], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.inference_mode():
        model.model(**inputs, use_cache=False)
        handle.remove()
        x, width = entered[0], prompt.shape[1]
        whole = layer(x, None, None)[0][0, width:]
        state = layer(x[:, :width], ~picture, None)[1]
        for t, share in enumerate(found.readout[0]):
            out, state = layer(x[:, width + t : width + t + 1], None, state)
            wanted = (whole[t] - out[0, 0]).norm() / whole[t].norm()
            assert share == pytest.approx(float(wanted), abs=1e-3)
    assert len(found.readout[0]) == len(text)
