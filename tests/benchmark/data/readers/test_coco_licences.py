"""`-D licenses`: which images stay, and what the run folder says of them."""

import csv
from pathlib import Path
from typing import Any

import pytest

from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import Cli, write_lines
from tests.benchmark.data.readers.conftest import Coco

COMMONS = "http://creativecommons.org/licenses"
LICENCES: list[dict[str, Any]] = [
    {"id": 2, "name": "Non-commercial", "url": f"{COMMONS}/by-nc/2.0/"},
    {"id": 4, "name": "Attribution License", "url": f"{COMMONS}/by/2.0/"},
    {"id": 5, "name": "Share Alike", "url": f"{COMMONS}/by-sa/2.0/"},
    {"id": 7, "name": "No restrictions", "url": "http://flickr.com/commons/usage/"},
]
OF_IMAGES = (4, 2, 5, 4, 7, 2)


@pytest.fixture
def licensed(coco: Coco) -> Coco:
    coco.document["licenses"] = LICENCES
    for image, number in zip(coco.document["images"], OF_IMAGES, strict=True):
        image["license"] = number
        image["flickr_url"] = f"http://farm1.staticflickr.com/2/{image['id']}00_0a1b2c3d4e_z.jpg"
    coco.document["images"][2] |= {"flickr_url": None, "coco_url": "http://images.example.org/12.jpg"}
    coco.save()
    return coco


@pytest.mark.parametrize(
    ("licenses", "ids"),
    [
        ("by,by-sa", [10, 12, 13]),
        ("BY", [10, 13]),
        ("no-known-restrictions", [14]),
        ("any", [*range(10, 16)]),
    ],
)
def test_images_with_the_licences_stay(licensed: Coco, licenses: str, ids: list[int]) -> None:
    assert [sample.image_id for sample in licensed.load(licenses=licenses).samples] == ids


def test_a_limit_counts_the_images_that_stay(licensed: Coco) -> None:
    assert [s.image_id for s in licensed.load(licenses="by,by-sa", limit=2).samples] == [10, 12]


def command(coco: Coco, out: Path, *more: object, **options: object) -> list[object]:
    answers = write_lines(
        out.parent / "answers.jsonl", [{"image_id": i, "response": "A dog."} for i in range(10, 16)]
    )
    given = [part for key, value in coco.options(**options).items() for part in ("-D", f"{key}={value}")]
    model = f"replay/{answers}"
    return ["run", "--dataset", "coco", *given, "--model", model, "--out", out, "--resamples", 0, *more]


def run_folder(out: Path) -> Path:
    (run,) = [path.parent for path in out.glob("*/run.json")]
    return run


def test_the_run_folder_says_whose_the_images_are(licensed: Coco, cli: Cli, tmp_path: Path) -> None:
    result = cli(*command(licensed, tmp_path / "out", licenses="by,by-sa"))
    assert result.code == 0, result.err
    run = run_folder(tmp_path / "out")
    with (run / "attribution.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image_id"] for row in rows] == ["10", "12", "13"]
    assert rows[0] == {
        "image_id": "10",
        "file": "000000000010.jpg",
        "source_url": "http://farm1.staticflickr.com/2/1000_0a1b2c3d4e_z.jpg",
        "photo_url": "https://www.flickr.com/photo.gne?id=1000",
        "licence": "Attribution License",
        "licence_url": f"{COMMONS}/by/2.0/",
    }
    assert (rows[1]["source_url"], rows[1]["photo_url"]) == ("http://images.example.org/12.jpg", "")
    text = (run / "attribution.md").read_text(encoding="utf-8")
    assert text.count("## ") == 2
    assert f"## Share Alike\n\n<{COMMONS}/by-sa/2.0/>\n\n- 000000000012.jpg: <http://images" in text
    checked = cli("check", run)
    assert checked.code == 0, checked.out


def test_merged_shards_have_the_images_of_all(licensed: Coco, cli: Cli, tmp_path: Path) -> None:
    for part in ("1/2", "2/2"):
        shard = command(licensed, tmp_path / "parts", "--shard", part, "--batch-size", 1, licenses="by,by-sa")
        assert cli(*shard).code == 0
    merged = cli("merge", tmp_path / "parts", "--out", tmp_path / "whole")
    assert merged.code == 0, merged.err
    assert cli(*command(licensed, tmp_path / "once", licenses="by,by-sa")).code == 0
    for name in ("attribution.csv", "attribution.md"):
        whole, once = (run_folder(tmp_path / kind) / name for kind in ("whole", "once"))
        assert whole.read_bytes() == once.read_bytes()


def test_without_the_option_there_is_no_file(licensed: Coco, cli: Cli, tmp_path: Path) -> None:
    assert cli(*command(licensed, tmp_path / "out")).code == 0
    assert not (run_folder(tmp_path / "out") / "attribution.csv").exists()


def test_a_page_with_pictures_says_whose_they_are(licensed: Coco, cli: Cli, tmp_path: Path) -> None:
    assert cli(*command(licensed, tmp_path / "out", licenses="by,by-sa")).code == 0
    run = run_folder(tmp_path / "out")
    shown = cli("view", run, "--no-open", "--out", tmp_path / "shown" / "page.html")
    assert shown.code == 0, shown.err
    for name in ("attribution.csv", "attribution.md"):
        assert (tmp_path / "shown" / f"page-{name}").read_bytes() == (run / name).read_bytes()
    assert cli("view", run, "--no-open", "--no-pictures", "--out", tmp_path / "bare" / "page.html").code == 0
    assert [path.name for path in (tmp_path / "bare").iterdir()] == ["page.html"]
    (run / "attribution.csv").write_text("a,b\n1,2\n")
    wrong = cli("view", run, "--no-open", "--out", tmp_path / "wrong.html")
    assert wrong.code == 2
    assert "attribution.csv: its columns must be image_id, file" in wrong.err
    assert not (tmp_path / "wrong.html").exists()


def test_a_report_of_responses_with_pictures_says_whose_they_are(
    licensed: Coco, cli: Cli, tmp_path: Path
) -> None:
    del licensed.document["images"][2]["license"]
    licensed.save()
    responses = write_lines(
        tmp_path / "r.jsonl", [{"image_id": i, "response": "A dog."} for i in (11, 12, 13)]
    )
    options = licensed.options()
    given = (
        "score",
        "--responses",
        responses,
        "--objects",
        options["annotations"],
        "--resamples",
        0,
        "--out",
    )
    assert cli(*given, tmp_path / "plain").code == 0
    assert not (tmp_path / "plain" / "attribution.csv").exists()
    result = cli(*given, tmp_path / "shown", "--images", options["images"])
    assert result.code == 0, result.err
    with (tmp_path / "shown" / "attribution.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    # Image 12 has no licence in the file.
    assert [(row["image_id"], row["licence"]) for row in rows] == [
        ("11", "Non-commercial"),
        ("13", "Attribution License"),
    ]
    assert "Non-commercial" in (tmp_path / "shown" / "attribution.md").read_text(encoding="utf-8")
    checked = cli("check", tmp_path / "shown")
    assert checked.code == 0, checked.out


def test_mistakes_name_the_place(licensed: Coco) -> None:
    with pytest.raises(UserError, match=r"-D licenses=by-so: .* no licence 'by-so'; did you mean 'by-sa'"):
        licensed.load(licenses="by-so")
    licensed.document["images"][1]["license"] = 9
    licensed.save()
    with pytest.raises(UserError, match=r"images\[1\]: 'license' must be the id of one .*, found 9"):
        licensed.load(licenses="by")
    for image in licensed.document["images"]:
        image["license"] = 4
    licensed.save()
    with pytest.raises(UserError, match=r"none of the 6 images has one of these licences"):
        licensed.load(licenses="by-nc")
    del licensed.document["licenses"]
    licensed.save()
    with pytest.raises(UserError, match=r"-D licenses: .*instances.json lists no licences"):
        licensed.load(licenses="by")
