"""Datasets: order of samples, decoding of images, mistakes in a folder dataset."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from eidolon.benchmark.data.categories import check_objects
from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.samples import SampleSource
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import read_lines, write_lines


def load_folder(folder: Path, limit: int | None = None) -> SampleSource:
    return load_dataset(f"folder/{folder}", limit=limit, seed=0, options={})


def test_folder(picture_folder: Path) -> None:
    source = load_folder(picture_folder)
    assert [sample.sample_id for sample in source.samples] == [str(index) for index in range(10)]
    assert [sample.image_id for sample in source.samples] == list(range(10))
    assert source.samples[3].objects == ("cat", "dog")
    image = source.image(source.samples[3])
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (8, 8), (60, 90, 40))


def test_hash_follows_content(picture_folder: Path) -> None:
    first = load_folder(picture_folder).sha256
    assert load_folder(picture_folder).sha256 == first
    assert load_folder(picture_folder, limit=9).sha256 != first
    Image.new("RGB", (8, 8), (1, 2, 3)).save(picture_folder / "0.png")
    second = load_folder(picture_folder).sha256
    assert second != first
    rows = read_lines(picture_folder / "objects.jsonl")
    write_lines(picture_folder / "objects.jsonl", [{**rows[0], "objects": []}, *rows[1:]])
    assert load_folder(picture_folder).sha256 not in {first, second}


def test_limit(picture_folder: Path) -> None:
    assert len(load_folder(picture_folder, limit=4).samples) == 4
    assert len(load_folder(picture_folder, limit=400).samples) == 10


def test_upright_rgb(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (4, 2)).save(tmp_path / "a.jpg", exif=exif)
    write_lines(tmp_path / "objects.jsonl", [{"image_id": "a", "image": "a.jpg", "objects": []}])
    source = load_folder(tmp_path)
    image = source.image(source.samples[0])
    assert (image.mode, image.size) == ("RGB", (2, 4))


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    levels = np.array([[0, 255, 32_768, 65_535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    Image.fromarray(levels.astype(np.float32)).save(tmp_path / "b.tiff")
    rows = [{"image_id": name, "image": name, "objects": []} for name in ("a.png", "b.tiff")]
    write_lines(tmp_path / "objects.jsonl", rows)
    source = load_folder(tmp_path)
    image = source.image(source.samples[0])
    assert [image.getpixel((x, 0)) for x in range(4)] == [(v, v, v) for v in (0, 0, 128, 255)]
    with pytest.raises(ValueError, match="floating-point"):
        source.image(source.samples[1])


def test_null_ids_and_lone_surrogates(picture_folder: Path) -> None:
    """A null sample id counts as missing. A lone surrogate, which no UTF-8 file can hold, is replaced."""
    rows = read_lines(picture_folder / "objects.jsonl")
    rows[0]["sample_id"], rows[1]["sample_id"], rows[1]["objects"] = None, "\ud800", ["\ud800"]
    write_lines(picture_folder / "objects.jsonl", rows)
    samples = load_folder(picture_folder).samples
    assert [sample.sample_id for sample in samples[:3]] == ["0", "\ufffd", "2"]
    assert samples[1].objects == ("\ufffd",)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"image": "../secret.png"}, "must be inside the folder"),
        ({"image": "/etc/passwd"}, "must be inside the folder"),
        ({"image": "link.png"}, "must be inside the folder"),
        ({"image": "nowhere.png"}, "no such image file"),
        ({"image": "."}, "no such image file"),
        ({"image": 7}, "file name"),
        ({"image": "0\0.png"}, "must be inside the folder"),
        ({"objects": "dog"}, "list of strings"),
        ({"image_id": "text"}, "numbers and some are strings"),
        ({"image_id": None}, "image_id"),
        ({"image_id": 2**63}, "at most 9223372036854775807"),
        ({"sample_id": "0"}, "rows 0 and 1"),
        ({"sample_id": [1]}, "'sample_id' must be"),
        ({"image": 300 * "x"}, "no such image file"),
        ({"image": "\ud800.png"}, "must be inside the folder"),
    ],
)
def test_mistakes_in_a_folder(picture_folder: Path, row: dict[str, Any], expected: str) -> None:
    (picture_folder.parent / "secret.png").touch()
    (picture_folder / "link.png").symlink_to(picture_folder.parent / "secret.png")
    rows = read_lines(picture_folder / "objects.jsonl")
    write_lines(picture_folder / "objects.jsonl", [rows[0], {**rows[1], **row}])
    with pytest.raises(UserError, match=expected):
        load_folder(picture_folder)


def test_one_image_has_one_truth(picture_folder: Path) -> None:
    first = read_lines(picture_folder / "objects.jsonl")[0]
    again = {**first, "sample_id": "again", "objects": first["objects"][::-1] * 2}
    write_lines(picture_folder / "objects.jsonl", [first, again])
    assert [sample.sample_id for sample in load_folder(picture_folder).samples] == ["0", "again"]
    write_lines(picture_folder / "objects.jsonl", [first, again, {**again, "sample_id": "x", "objects": []}])
    with pytest.raises(UserError, match=r"objects\.jsonl:3: image 0 has other objects on line 1"):
        load_folder(picture_folder)


def test_missing_field_and_empty_table(picture_folder: Path) -> None:
    (picture_folder / "objects.jsonl").write_text(json.dumps({"image_id": 1, "image": "0.png"}))
    with pytest.raises(UserError, match=r"objects\.jsonl:1.*'objects' is missing"):
        load_folder(picture_folder)
    (picture_folder / "objects.jsonl").write_text("")
    with pytest.raises(UserError, match="no samples"):
        load_folder(picture_folder)


def test_dataset_with_images_inside() -> None:
    """The dataset of a plug-in may hold the bytes of images, lack `sample_id`, and have other columns."""
    content = io.BytesIO()
    Image.new("RGB", (3, 3), (9, 9, 9)).save(content, format="PNG")
    rows = datasets.Dataset.from_dict(
        {
            "image_id": ["a"],
            "image": [{"bytes": content.getvalue(), "path": None}],
            "objects": [["dog"]],
            "x": [1],
        }
    ).cast_column("image", datasets.Image())
    source = SampleSource("mine", {}, rows)
    assert source.samples[0].sample_id == "a"
    assert source.image(source.samples[0]).getpixel((0, 0)) == (9, 9, 9)
    with pytest.raises(UserError, match="no column 'objects'"):
        SampleSource("mine", {}, rows.remove_columns("objects"))


def test_scenes() -> None:
    source = load_dataset("scenes", limit=3, seed=5, options={"image_size": "32"})
    again = load_dataset("scenes", limit=3, seed=5, options={"image_size": "32"})
    assert source.sha256 == again.sha256
    assert source.image(source.samples[2]).size == (32, 32)
    assert load_dataset("scenes", limit=3, seed=6, options={"image_size": "32"}).sha256 != source.sha256


def test_unknown_category() -> None:
    with pytest.raises(UserError, match="row 3: unknown category 'dogs'; did you mean 'dog'"):
        check_objects(["cat", "dogs"], ("cat", "dog"), "row 3")


def test_memory_stays_flat(tmp_path: Path) -> None:
    """200 photographs, 0.9 MB each when decoded. If they were kept, the process would grow by 180 MB."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)).save(
        tmp_path / "first.jpg", quality=50
    )
    content = (tmp_path / "first.jpg").read_bytes()
    for index in range(200):
        (tmp_path / f"{index}.jpg").write_bytes(content + index.to_bytes(2, "big"))
    rows = [{"image_id": index, "image": f"{index}.jpg", "objects": []} for index in range(200)]
    write_lines(tmp_path / "objects.jsonl", rows)

    def resident_mb() -> float:
        line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS:"))
        return int(line.split()[1]) / 1e3

    load_folder(tmp_path, limit=2)
    before = resident_mb()
    source = load_folder(tmp_path)
    assert len({sample.image_sha256 for sample in source.samples}) == 200
    most = before
    for sample in source.samples:
        assert source.image(sample).size == (640, 480)
        most = max(most, resident_mb())
    assert most - before < 60


def test_the_streamed_hash_equals_that_of_the_bytes(picture_folder: Path) -> None:
    for sample in load_folder(picture_folder).samples:
        content = (picture_folder / f"{sample.image_id}.png").read_bytes()
        assert sample.image_sha256 == hashlib.sha256(content).hexdigest()


def test_references_of_a_folder(picture_folder: Path) -> None:
    rows = read_lines(picture_folder / "objects.jsonl")
    write_lines(picture_folder / "objects.jsonl", [rows[0], {**rows[1], "references": ["A dog.", "Grass."]}])
    plain, captioned = load_folder(picture_folder).samples
    assert (plain.references, captioned.references) == ((), ("A dog.", "Grass."))
    write_lines(picture_folder / "objects.jsonl", [{**rows[0], "references": "A dog."}])
    with pytest.raises(UserError, match=r"objects\.jsonl:1: 'references' must be a list of strings"):
        load_folder(picture_folder)


def test_areas_of_a_folder(picture_folder: Path) -> None:
    rows = read_lines(picture_folder / "objects.jsonl")
    table = picture_folder / "objects.jsonl"
    write_lines(table, [rows[0], {**rows[1], "objects": ["dog", "cat"], "areas": {"cat": 0.25}}])
    plain, measured = load_folder(picture_folder).samples
    assert (plain.areas, measured.areas) == ({}, {"cat": 0.25})
    write_lines(table, [{**rows[0], "objects": ["dog"], "areas": {"dog": -1}}])
    with pytest.raises(
        UserError, match=r"objects\.jsonl:1: field 'areas': 'dog' must be from 0 to 1, found -1"
    ):
        load_folder(picture_folder)
