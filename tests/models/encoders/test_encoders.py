"""Encoders and detectors of transformers: tiny random checkpoints go through the code of the real ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from eidolon.models.encoders.detector import ZeroShotDetector, suppress
from eidolon.models.encoders.dual_encoder import TransformersDualEncoder, TransformersImageEncoder
from eidolon.models.encoders.loading import EncoderOptions
from eidolon.models.encoders.regions import cut_out, find_regions
from eidolon.scorers.core.errors import UserError
from tests.models.encoders import tiny_encoders

OPTIONS = EncoderOptions(device="cpu")


def pictures() -> list[Image.Image]:
    """Return three pictures of different shape."""
    found = []
    for k, size in enumerate([(40, 30), (30, 50), (33, 33)]):
        image = Image.new("RGB", size, (60 * k, 90, 200))
        ImageDraw.Draw(image).rectangle((5, 5, 15, 20), fill=(250, 40 * k, 10))
        found.append(image)
    return found


@pytest.mark.parametrize(
    ("save", "sigmoid"), [(tiny_encoders.save_clip, False), (tiny_encoders.save_siglip, True)]
)
def test_dual_encoders_agree_with_the_models_own_logits(save, sigmoid: bool, tmp_path: Path) -> None:
    import torch

    save(tmp_path)
    encoder = TransformersDualEncoder("--with clip/tiny", str(tmp_path), OPTIONS)
    texts, images = ["a photo of a cup.", "a dog"], pictures()
    embedded, names = encoder.embed_images(images), encoder.embed_texts(texts)
    assert embedded.dtype == np.float32
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    assert (encoder.logit_bias is not None) == sigmoid
    mine = encoder.logit_scale * embedded @ names.T + (encoder.logit_bias or 0)
    processor, model = encoder._loaded.processor, encoder._loaded.model
    padding = {"padding": "max_length", "max_length": 40} if sigmoid else {"padding": True}
    inputs = processor(text=texts, images=images, return_tensors="pt", **padding)
    with torch.inference_mode():
        theirs = model(**inputs).logits_per_image.numpy()
    assert np.allclose(mine, theirs, atol=1e-3)
    assert encoder.identity["checkpoint"]["files"]
    apart = np.concatenate([encoder.embed_images([image]) for image in images])
    assert np.allclose(apart, embedded, atol=1e-5)


def test_an_encoder_of_images_alone(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessorPil, set_seed

    set_seed(0)
    Dinov2Model(
        Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    ).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(tmp_path)
    encoder = TransformersImageEncoder("-M encoder=tiny", str(tmp_path), OPTIONS)
    assert encoder.embed_images(pictures()).shape == (3, 16)


def test_what_is_no_dual_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--with clip/nothing: cannot be loaded with AutoModel: "):
        TransformersDualEncoder("--with clip/nothing", str(tmp_path / "nothing"), OPTIONS)


@pytest.mark.parametrize("save", [tiny_encoders.save_owlv2, tiny_encoders.save_grounding_dino])
def test_detectors_score_every_box_for_every_name(save, tmp_path: Path) -> None:
    save(tmp_path)
    detector = ZeroShotDetector("--with detector/tiny", str(tmp_path), OPTIONS)
    names = ["red ball", "cup", "dog"]
    images = [pictures()[0], pictures()[0].transpose(Image.Transpose.ROTATE_180)]
    found = detector.detect(images, names)
    assert len(found) == 2
    for one in found:
        assert one.scores.shape == (len(one.boxes), 3)
        assert ((one.scores >= 0) & (one.scores <= 1)).all()
        assert ((one.boxes >= 0) & (one.boxes <= 1)).all()
    assert not np.allclose(found[0].scores, found[1].scores)


def test_owlv2_agrees_with_its_own_processor(tmp_path: Path) -> None:
    import torch

    tiny_encoders.save_owlv2(tmp_path)
    detector = ZeroShotDetector("--with detector/tiny", str(tmp_path), OPTIONS)
    image, names = pictures()[0], ["red ball", "cup"]
    (mine,) = detector.detect([image], names)
    processor, model = detector._loaded.processor, detector._loaded.model
    inputs = processor(text=[[f"a photo of a {n}" for n in names]], images=[image], return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        outputs, threshold=0.0, target_sizes=[(image.height, image.width)]
    )
    boxes = theirs["boxes"].numpy() / np.array([image.width, image.height] * 2)
    assert np.allclose(mine.boxes, boxes.clip(0, 1), atol=1e-5)
    assert np.allclose(mine.scores.max(axis=1), theirs["scores"].numpy(), atol=1e-6)


def test_grounding_dino_reads_each_name_from_its_own_tokens(tmp_path: Path) -> None:
    """The score of a name is the largest of its tokens; long lists are cut."""
    import torch

    tiny_encoders.save_grounding_dino(tmp_path)
    detector = ZeroShotDetector("--with detector/tiny", str(tmp_path), OPTIONS)
    image = pictures()[0]
    (mine,) = detector.detect([image], ["red ball", "cup"])
    processor, model = detector._loaded.processor, detector._loaded.model
    inputs = processor(images=[image], text=["red ball. cup."], return_tensors="pt")
    with torch.inference_mode():
        scores = model(**inputs).logits.sigmoid()[0].numpy()
    # [CLS] red ball . cup . [SEP]
    assert np.allclose(mine.scores[:, 0], scores[:, 1:3].max(axis=1), atol=1e-6)
    assert np.allclose(mine.scores[:, 1], scores[:, 4], atol=1e-6)
    many = ["cup", "dog", "red ball", "kettle", "window", "garden"]
    (parted,) = detector.detect([image], many)
    assert len(parted.boxes) == 2 * len(mine.boxes)
    with pytest.raises(UserError, match="longer than its text of 24 tokens"):
        detector.detect([image], ["a very very very long name of a thing"])


def test_a_better_box_suppresses_those_that_overlap() -> None:
    boxes = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.45], [0.5, 0.5, 1, 1]])
    assert suppress(boxes, np.array([0.2, 0.9, 0.5]), most=5) == [1, 2]
    assert suppress(boxes, np.array([0.2, 0.9, 0.5]), most=1) == [1]
    inside = np.array([[0, 0, 1, 1], [0.4, 0.4, 0.5, 0.5]])
    assert suppress(inside, np.array([0.1, 0.2]), most=5) == [1, 0]
    assert suppress(inside, np.array([0.1, 0.2]), most=5, nested=True) == [1]


def test_components_find_what_stands_out() -> None:
    image = Image.new("RGB", (200, 120), (200, 210, 220))
    ImageDraw.Draw(image).rectangle((20, 30, 80, 60), fill=(10, 60, 20))
    ImageDraw.Draw(image).rectangle((130, 70, 190, 110), fill=(180, 20, 20))
    boxes = find_regions(image, "components")
    for wanted in ([0.1, 0.25, 0.4, 0.5], [0.65, 0.58, 0.95, 0.92]):
        assert np.abs(boxes - np.array(wanted)).max(axis=1).min() < 0.04
    assert boxes[-1].tolist() == [0, 0, 1, 1]
    assert cut_out(image, np.array([0.1, 0.25, 0.4, 0.5]), margin=0).size == (60, 30)
    assert len(find_regions(image, "whole")) == 1
    assert len(find_regions(image, "windows")) > 10


def test_a_label_that_touches_other_things_is_a_region() -> None:
    """Its edges and theirs are one component; its colour is an area of its own, with the letters inside."""
    image = Image.new("RGB", (200, 120), (200, 210, 220))
    draw = ImageDraw.Draw(image)
    for x in range(0, 200, 20):
        draw.rectangle((x, 0, x + 9, 119), fill=(40, 90, 160))
    draw.rectangle((50, 30, 149, 69), fill=(190, 20, 30))
    draw.text((70, 42), "LABEL", fill=(255, 255, 255))
    boxes = find_regions(image, "components")
    assert np.abs(boxes - np.array([0.25, 0.25, 0.75, 70 / 120])).max(axis=1).min() < 0.02
