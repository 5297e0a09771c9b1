"""File names in datasets cannot lead out of the image folder, in any reader."""

import os
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow.parquet
import pytest
from PIL import Image

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.samples import SampleSource
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import write_lines
from tests.benchmark.data.readers.conftest import CATEGORIES, write_json

pytestmark = pytest.mark.faults

Load = Callable[[Path, str], SampleSource]
"""Makes a dataset with one image of the given name in a folder, and loads it."""


def load_folder(folder: Path, name: str) -> SampleSource:
    write_lines(folder / "objects.jsonl", [{"image_id": 1, "image": name, "objects": []}])
    return load_dataset(f"folder/{folder}", limit=None, seed=0, options={})


def load_coco(folder: Path, name: str) -> SampleSource:
    document = {"images": [{"id": 1, "file_name": name}], "annotations": [], "categories": CATEGORIES}
    annotations = write_json(folder.parent / "instances.json", document)
    options = {"annotations": str(annotations), "images": str(folder)}
    return load_dataset("coco", limit=None, seed=0, options=options)


def load_objects365(folder: Path, name: str) -> SampleSource:
    document = {"images": [{"id": 1, "file_name": name}], "annotations": [], "categories": CATEGORIES}
    annotations = write_json(folder.parent / "instances.json", document)
    options = {"annotations": str(annotations), "images": str(folder)}
    return load_dataset("objects365", limit=None, seed=0, options=options)


def load_table(folder: Path, name: str) -> SampleSource:
    """A parquet file as on the Hub. It can hold paths instead of images."""
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "objects": datasets.List(datasets.Value("string"))}
    )
    path = name if name.startswith("/") or ":" in name else os.path.join(folder, name)
    row = {"image": [{"bytes": None, "path": path}], "objects": [["dog"]]}
    table = datasets.Dataset.from_dict(row, features=features)
    pyarrow.parquet.write_table(table.data.table, folder / "train.parquet")
    return load_dataset(f"hf/{folder}", limit=None, seed=0, options={})


def load_image_folder(folder: Path, name: str) -> SampleSource:
    """The image folder of the `datasets` library, with its table of file names."""
    write_lines(folder / "metadata.jsonl", [{"file_name": name, "objects": ["dog"]}])
    return load_dataset(f"hf/{folder}", limit=None, seed=0, options={})


READERS: dict[str, Load] = {
    "folder": load_folder,
    "coco": load_coco,
    "objects365": load_objects365,
    "hf table": load_table,
    "hf image folder": load_image_folder,
}
NAMES = {
    "dots": "../secret.png",
    "dots in the middle": "inside/../../secret.png",
    "absolute": "{secret}",
    "file URL": "file://{secret}",
    "link to a file": "link.png",
    "link to a folder": "linked/secret.png",
    "circular link": "circle.png",
    "NUL": "a.png\0.jpg",
    "Windows drive": "C:\\secret.png",
    "Windows drive, relative": "C:secret.png",
    "Windows share": "\\\\host\\share\\secret.png",
    "Windows root": "\\secret.png",
    "Windows dots": "..\\secret.png",
    "Windows dots in the middle": "inside\\..\\..\\secret.png",
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with an image, and links out of it to another image."""
    folder = tmp_path / "images"
    (folder / "inside").mkdir(parents=True)
    Image.new("RGB", (4, 4), "green").save(folder / "a.png")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "circle.png").symlink_to(folder / "circle.png")
    return folder


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", NAMES)
def test_no_name_leads_out(reader: str, kind: str, images: Path) -> None:
    name = NAMES[kind].format(secret=images.parent / "secret.png")
    with pytest.raises(UserError) as refused:
        READERS[reader](images, name)
    assert "\n" not in str(refused.value)


def test_names_inside_are_read(images: Path) -> None:
    for reader in ("folder", "coco", "objects365", "hf table"):
        for name in ("a.png", "inside/../a.png"):
            source = READERS[reader](images, name)
            assert source.image(source.samples[0]).getpixel((0, 0)) == (0, 128, 0)


def test_a_link_among_ambers_images(images: Path) -> None:
    """The file names of AMBER are numbers, so that only a link can lead out of the folder."""
    annotations = write_json(
        images.parent / "annotations.json", [{"id": 1, "type": "generative", "truth": ["sky"], "hallu": []}]
    )
    (images / "AMBER_1.jpg").symlink_to(images.parent / "secret.png")
    options = {"annotations": str(annotations), "images": str(images)}
    with pytest.raises(UserError, match="must be inside the folder"):
        load_dataset("amber", limit=None, seed=0, options=options)
