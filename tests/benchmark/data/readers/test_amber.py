"""AMBER's free-form items as a dataset."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.prompts import find_prompt
from eidolon.benchmark.data.samples import SampleSource
from eidolon.scorers.core.errors import UserError
from tests.benchmark.data.readers.conftest import write_json


def load(annotations: Path, images: Path, limit: int | None = None, **more: object) -> SampleSource:
    options = {"annotations": str(annotations), "images": str(images), **{k: str(v) for k, v in more.items()}}
    return load_dataset("amber", limit=limit, seed=0, options=options)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "image"
    folder.mkdir()
    for number in range(1, 4):
        Image.new("RGB", (4, 4), (9 * number, 0, 0)).save(folder / f"AMBER_{number}.jpg")
    return folder


ITEMS: list[dict[str, Any]] = [
    {"id": 1, "type": "generative", "truth": ["sky", "ship", "ship"], "hallu": ["sun"]},
    {"id": 3, "type": "generative", "truth": ["child"], "hallu": []},
    {"id": 2, "type": "discriminative-hallucination", "truth": "no"},
]


def test_free_form_items(images: Path, tmp_path: Path) -> None:
    annotations = write_json(tmp_path / "annotations.json", ITEMS)
    source = load(annotations, images)
    assert [(s.sample_id, s.image_id, s.objects) for s in source.samples] == [
        ("1", 1, ("ship", "sky")),
        ("3", 3, ("child",)),
    ]
    assert source.image(source.samples[1]).getpixel((0, 0)) == pytest.approx((27, 0, 0), abs=4)
    names = write_json(tmp_path / "names.json", {"child": "person", "sky": None, "ship": "boat"})
    assert [s.objects for s in load(annotations, images, names=names).samples] == [("boat",), ("person",)]
    assert find_prompt("amber").text == "Describe this image."


def test_reference_annotations(reference_data: Path, images: Path) -> None:
    file = reference_data / "amber" / "annotations.json"
    source = load(file, images)
    assert len(source.samples) == 1004
    assert sum(sample.image_sha256 is not None for sample in source.samples) == 3
    queries = json.loads((reference_data / "amber" / "query_generative.json").read_text(encoding="utf-8"))
    assert [s.image_id for s in source.samples] == [query["id"] for query in queries]
    assert {query["image"] for query in queries} == {f"AMBER_{s.image_id}.jpg" for s in source.samples}
    assert len(load(file, images, limit=2).samples) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"id": "one"}, "item 0: field 'id' must be a whole number"),
        ({"truth": "sky"}, "item 0: 'truth' must be a list of strings"),
        ({"type": None}, "item 0: field 'type' must be a string"),
    ],
)
def test_mistakes(images: Path, tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    annotations = write_json(tmp_path / "annotations.json", [{**ITEMS[0], **change}, *ITEMS[1:]])
    with pytest.raises(UserError, match=expected):
        load(annotations, images)


def test_no_free_form_items(images: Path, tmp_path: Path) -> None:
    annotations = write_json(tmp_path / "annotations.json", ITEMS[2:])
    with pytest.raises(UserError, match="holds no items of type 'generative'"):
        load(annotations, images)
