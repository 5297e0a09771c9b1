"""Small datasets in the formats of the published ones."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.samples import SampleSource

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}]


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@dataclass
class Coco:
    """An instances JSON with its images, and the options for them."""

    folder: Path
    annotations: Path
    document: dict[str, Any]

    def options(self, **more: object) -> dict[str, str]:
        given = {"annotations": self.annotations, "images": self.folder, **more}
        return {key: str(value) for key, value in given.items()}

    def load(self, dataset: str = "coco", limit: int | None = None, **more: object) -> SampleSource:
        return load_dataset(dataset, limit=limit, seed=0, options=self.options(**more))

    def save(self) -> None:
        write_json(self.annotations, self.document)


@pytest.fixture
def coco(tmp_path: Path) -> Coco:
    """Six images: each has a dog, the even ones a crowd of persons, and image 12 two dogs."""
    folder = tmp_path / "val"
    folder.mkdir()
    images, annotations = [], []
    for number in range(10, 16):
        name = f"{number:012d}.jpg"
        Image.new("RGB", (8, 6), (10 * number, 90, 40)).save(folder / name)
        images.append({"id": number, "file_name": name})
        annotations.append({"image_id": number, "category_id": 18, "iscrowd": 0})
        if number % 2 == 0:
            annotations.append({"image_id": number, "category_id": 1, "iscrowd": 1})
    annotations.append({"image_id": 12, "category_id": 18, "iscrowd": 0})
    document = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    made = Coco(folder, tmp_path / "instances.json", document)
    made.save()
    return made
