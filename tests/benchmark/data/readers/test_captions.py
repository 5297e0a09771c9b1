"""The images of DetailCaps and CompreCap as datasets."""

import io
from pathlib import Path

import datasets
import pytest
from PIL import Image

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.scorers.core.errors import UserError
from tests.benchmark.data.readers.conftest import write_json


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (level, 0, 0)).save(stream, format="PNG")
    return stream.getvalue()


def comprecap(folder: Path) -> Path:
    (folder / "images").mkdir()
    rows = []
    for i in range(3):
        (folder / "images" / f"{i}.png").write_bytes(png(40 * i))
        info = [
            {"category": name, "short_description": f"a {name}", "relation": []}
            for name in ("dog", "tree", "dog")
        ]
        rows.append({"image": f"{i}.png", "info": info})
    write_json(folder / "anno.json", rows)
    return folder


def test_comprecap(tmp_path: Path) -> None:
    folder = comprecap(tmp_path)
    names = write_json(tmp_path / "names.json", {"tree": None})
    source = load_dataset(f"comprecap/{folder}", limit=2, seed=0, options={})
    assert [(s.sample_id, s.objects) for s in source.samples] == [
        ("0.png", ("dog", "tree")),
        ("1.png", ("dog", "tree")),
    ]
    assert source.image(source.samples[1]).getpixel((0, 0)) == (40, 0, 0)
    mapped = load_dataset(f"comprecap/{folder}", limit=None, seed=0, options={"names": str(names)})
    assert [s.objects for s in mapped.samples] == [("dog",)] * 3


def test_detailcaps(tmp_path: Path) -> None:
    rows = [
        {
            "image": f"own/{i}.png",
            "binary": png(40 * i),
            "source": "own",
            "GT_Caption_GPT4O": f"A dog, {i}.",
            "GT_Caption_GPT4V": "A dog by a tree.",
            "GT_Caption_Gemini15Pro": "",
        }
        for i in range(3)
    ]
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "rows.parquet"))
    source = load_dataset(f"detailcaps/{tmp_path}", limit=2, seed=0, options={})
    assert [s.image_id for s in source.samples] == ["own/0.png", "own/1.png"]
    assert source.samples[1].references == ("A dog, 1.", "A dog by a tree.")
    assert source.image(source.samples[1]).getpixel((0, 0)) == (40, 0, 0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("comprecap/nowhere", "PATH must be the folder with anno.json and images"),
        ("detailcaps", "PATH must be the folder with the Parquet files"),
        ("detailcaps/.", "holds no Parquet files"),
    ],
)
def test_wrong_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        load_dataset(name, limit=None, seed=0, options={})


def test_a_table_without_images(tmp_path: Path) -> None:
    datasets.Dataset.from_list([{"image": "a"}]).to_parquet(str(tmp_path / "rows.parquet"))
    with pytest.raises(UserError, match="has no column 'binary'"):
        load_dataset(f"detailcaps/{tmp_path}", limit=None, seed=0, options={})
