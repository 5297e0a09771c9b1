"""Datasets of the `datasets` library: saved ones, data files and the cache, with named columns."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.samples import SampleSource
from eidolon.scorers.core.errors import UserError


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (level, 0, 0)).save(stream, format="PNG")
    return stream.getvalue()


def load(where: Path | str, limit: int | None = None, **options: str) -> SampleSource:
    return load_dataset(f"hf/{where}", limit=limit, seed=0, options=options)


FEATURES = datasets.Features(
    {
        "picture": datasets.Image(),
        "number": datasets.Value("int64"),
        "things": {
            "box": datasets.List(datasets.List(datasets.Value("float32"))),
            "kind": datasets.List(datasets.ClassLabel(names=["dog", "cat", "person"])),
        },
        "said": datasets.List(datasets.Value("string")),
        "name": datasets.Value("string"),
    }
)
MAPPED = {"image": "picture", "image_id": "number", "objects": "things.kind"}


@pytest.fixture
def rows() -> datasets.Dataset:
    found = [
        {
            "picture": {"bytes": png(40 * i), "path": None},
            "number": 100 + i,
            "things": {"box": [[0.0] * 4] * 2, "kind": [i % 3, 0]},
            "said": [f"caption {i}"],
            "name": f"n{i}",
        }
        for i in range(5)
    ]
    return datasets.Dataset.from_list(found, features=FEATURES)


@pytest.fixture
def saved(rows: datasets.Dataset, tmp_path: Path) -> Path:
    rows.save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_saved_with_mapped_columns(saved: Path) -> None:
    source = load(saved, **MAPPED, references="said", sample_id="name")
    assert [(s.sample_id, s.image_id, s.objects, s.references) for s in source.samples[:3]] == [
        ("n0", 100, ("dog",), ("caption 0",)),
        ("n1", 101, ("cat", "dog"), ("caption 1",)),
        ("n2", 102, ("dog", "person"), ("caption 2",)),
    ]
    assert source.image(source.samples[2]).getpixel((0, 0)) == (80, 0, 0)
    assert len(load(saved, limit=2, **MAPPED).samples) == 2


def test_same_from_parquet_and_saved(rows: datasets.Dataset, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    rows.to_parquet(str(tmp_path / "files" / "validation.parquet"))
    assert load(tmp_path / "files", **MAPPED).sha256 == load(saved, **MAPPED).sha256


def test_rows_are_numbered_without_ids(saved: Path) -> None:
    source = load(saved, image="picture", objects="things.kind")
    assert [sample.image_id for sample in source.samples] == [0, 1, 2, 3, 4]


def test_images_may_be_missing(tmp_path: Path) -> None:
    """A null image counts as an image that cannot be read."""
    pictures = [{"bytes": png(1), "path": None}, None]
    features = datasets.Features(
        {"image": datasets.Image(), "objects": datasets.List(datasets.Value("string"))}
    )
    found = datasets.Dataset.from_dict({"image": pictures, "objects": [["dog"], None]}, features=features)
    found.save_to_disk(str(tmp_path / "saved"))
    source = load(tmp_path / "saved")
    assert [sample.image_sha256 is None for sample in source.samples] == [False, True]
    assert source.samples[1].objects == ()
    with pytest.raises(OSError, match="is a folder, not a file"):
        source.image(source.samples[1])


def test_image_folder_stays_inside(tmp_path: Path) -> None:
    """Files beside their table are read. A path outside, written into a table by hand, is refused."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(7))
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "objects": ["dog"]}\n')
    assert load(folder).samples[0].objects == ("dog",)
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "objects": datasets.List(datasets.Value("string"))}
    )
    (tmp_path / "secret.png").write_bytes(png(9))
    (tmp_path / "evil").mkdir()
    for path in (
        str(tmp_path / "secret.png"),
        "https://example.org/x.png",
        str(tmp_path / "evil" / ".." / "x"),
    ):
        evil = datasets.Dataset.from_dict(
            {"image": [{"bytes": None, "path": path}], "objects": [["dog"]]}, features=features
        )
        table = tmp_path / "evil" / "train.parquet"
        table.unlink(missing_ok=True)
        import pyarrow.parquet

        pyarrow.parquet.write_table(evil.data.table, table)
        with pytest.raises(UserError, match="row 0: the image must be in the folder of the dataset"):
            load(tmp_path / "evil")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "-D image=image: .* has no column 'image'"),
        ({**MAPPED, "image": "name"}, "-D image=name: is not a column of images"),
        ({**MAPPED, "objects": "things.kin"}, "there is no 'kin'; did you mean 'kind'"),
        ({**MAPPED, "objects": "things.box"}, "row 0: 'objects' must hold strings or class labels"),
        ({**MAPPED, "image_id": "things.kind"}, "-D image_id=things.kind: must be a column of its own"),
        ({**MAPPED, "image_id": "nummer"}, "has no column 'nummer'; did you mean 'number'"),
        ({**MAPPED, "image_id": "said"}, "row 0: 'image_id' must be a whole number or a string"),
        ({**MAPPED, "colums": "x"}, "dataset 'hf' has no option 'colums'"),
        ({**MAPPED, "config": "x"}, "a saved dataset has no config"),
    ],
)
def test_mistakes_in_the_mapping(saved: Path, options: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load(saved, **options)


def test_splits(rows: datasets.Dataset, tmp_path: Path) -> None:
    both = datasets.DatasetDict({"train": rows, "validation": rows.select([1])})
    both.save_to_disk(str(tmp_path / "both"))
    with pytest.raises(UserError, match="give -D split=…; it has train, validation"):
        load(tmp_path / "both", **MAPPED)
    with pytest.raises(UserError, match=r"-D split=valid: .*did you mean 'validation'"):
        load(tmp_path / "both", **MAPPED, split="valid")
    assert [s.image_id for s in load(tmp_path / "both", **MAPPED, split="validation").samples] == [101]


def test_places_without_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name the dataset"):
        load("")
    with pytest.raises(UserError, match="cannot be loaded"):
        load(tmp_path)
    (tmp_path / "x.parquet").touch()
    with pytest.raises(UserError, match="is a file, not a folder"):
        load(tmp_path / "x.parquet")
    with pytest.raises(UserError, match="cannot be loaded"):
        load("no//such name")


def test_code_of_a_dataset_never_runs(rows: datasets.Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "scripted"
    folder.mkdir()
    (folder / "scripted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(UserError, match="cannot be loaded"):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_offline_from_the_cache(rows: datasets.Dataset, tmp_path: Path) -> None:
    """Without the Hub, a dataset from the cache loads, and any other is a one-line error."""
    files, cache = tmp_path / "org" / "pictures", tmp_path / "cache"
    files.mkdir(parents=True)
    rows.to_parquet(str(files / "train.parquet"))
    datasets.load_dataset(str(files), cache_dir=str(cache))
    made = next(path for path in cache.iterdir() if path.is_dir())
    shutil.move(str(made), str(cache / "org___pictures"))
    program = (
        "import sys\n"
        "from eidolon.benchmark.data.datasets import load_dataset\n"
        "from eidolon.scorers.core.errors import UserError\n"
        "options = dict(image='picture', image_id='number', objects='things.kind')\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        found = load_dataset('hf/' + name, limit=None, seed=0, options=options)\n"
        "        print([sample.image_id for sample in found.samples])\n"
        "    except UserError as error:\n"
        "        print(error)\n"
    )
    environment: dict[str, Any] = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(cache),
        "HF_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, "org/pictures", "org/others"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first == "[100, 101, 102, 103, 104]"
    assert second.startswith("--dataset hf/org/others: cannot be loaded: ")
