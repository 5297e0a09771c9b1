"""COCO and Objects365: an instances JSON and a folder of images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.ground_truth import join_references
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.judges.lexicon import LexiconJudge
from tests.benchmark.conftest import Cli, read_lines, write_lines
from tests.benchmark.data.readers.conftest import CATEGORIES, Coco, write_json


def test_any_annotation_counts_crowds_too(coco: Coco) -> None:
    samples = coco.load().samples
    assert [sample.image_id for sample in samples] == [10, 11, 12, 13, 14, 15]
    assert [sample.objects for sample in samples] == 3 * [("dog", "person"), ("dog",)]
    assert len({sample.image_sha256 for sample in samples}) == 6
    assert coco.load().image(samples[1]).getpixel((0, 0)) == pytest.approx((110, 90, 40), abs=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(pairs=st.lists(st.tuples(st.integers(10, 15), st.sampled_from([1, 17, 18])), max_size=12))
def test_the_ground_truth_equals_a_naive_count(coco: Coco, pairs: list[tuple[int, int]]) -> None:
    coco.document["annotations"] = [{"image_id": image, "category_id": kind} for image, kind in pairs]
    coco.save()
    for sample in coco.load().samples:
        expected = [c["name"] for c in CATEGORIES if (sample.image_id, c["id"]) in pairs]
        assert list(sample.objects) == sorted(expected)  # type: ignore[type-var]


def test_reference_annotations(reference_data: Path, tmp_path: Path) -> None:
    """The objects of the 240 images of the reference data are the same as in its other files."""
    source = reference_data / "throne" / "coco_annotations.json"
    document = json.loads(source.read_text(encoding="utf-8"))
    for image in document["images"]:
        image.setdefault("file_name", f"{image['id']}.png")
    names = {image["file_name"] for image in document["images"]}
    Image.new("RGB", (4, 4)).save(tmp_path / "one.png")
    for name in names:
        (tmp_path / name).write_bytes((tmp_path / "one.png").read_bytes())
    annotations = write_json(tmp_path / "instances.json", document)
    options = {"annotations": str(annotations), "images": str(tmp_path)}
    found = {
        s.image_id: set(s.objects) for s in load_dataset("coco", limit=None, seed=0, options=options).samples
    }
    lines = read_lines(reference_data / "coco_gt" / "objects.jsonl")
    union = {row["image_id"]: set(row["objects"]) for row in lines}
    assert len(found) == 240
    assert found == {image_id: union[image_id] for image_id in found}  # type: ignore[index]


def test_captions_join_the_ground_truth(coco: Coco, tmp_path: Path) -> None:
    captions = [
        {"image_id": 11, "caption": "A cat naps beside a dog."},
        {"image_id": 11, "caption": "Two animals."},
        {"image_id": 99, "caption": "Another set's."},
    ]
    file = write_json(tmp_path / "captions.json", {"annotations": captions, "images": []})
    plain, source = coco.load(), coco.load(captions=file)
    assert source.samples[1].references == ("A cat naps beside a dog.", "Two animals.")
    assert source.samples[0].references == ()
    assert source.samples[1].objects == ("dog",)
    assert source.sha256 != plain.sha256
    joined = join_references(source.samples, LexiconJudge())
    assert [sample.objects for sample in joined[:2]] == [("dog", "person"), ("cat", "dog")]
    assert [sample.sources for sample in joined[:2]] == [
        None,
        Sources(frozenset({"dog"}), frozenset({"cat", "dog"})),
    ]
    assert join_references(plain.samples, LexiconJudge()) == plain.samples
    write_json(file, {"annotations": captions[2:], "images": []})
    with pytest.raises(UserError, match="no caption of any image"):
        coco.load(captions=file)


def test_names_are_mapped_to_the_judges_words(coco: Coco, tmp_path: Path) -> None:
    coco.document["categories"] = [{**c, "name": str(c["name"]).title()} for c in CATEGORIES]
    coco.save()
    assert coco.load("objects365").samples[0].objects == ("Dog", "Person")
    names = write_json(tmp_path / "names.json", {"Dog": "dog", "Person": None, "Unused": "x"})
    assert coco.load("objects365", names=names).samples[0].objects == ("dog",)
    write_json(names, {"Dog": 3})
    with pytest.raises(UserError, match='"Dog" must have a name or null, found 3'):
        coco.load("objects365", names=names)


def test_areas_are_of_the_largest_box(coco: Coco, tmp_path: Path) -> None:
    for image in coco.document["images"]:
        image |= {"width": 8, "height": 6}
    for number, annotation in enumerate(coco.document["annotations"]):
        annotation["bbox"] = [0, 0, 2.0, number]
    coco.save()
    by_id = {sample.image_id: sample.areas for sample in coco.load().samples}
    assert by_id[10] == {"dog": 0.0, "person": 2 / 48}
    assert by_id[12]["dog"] == 18 / 48, "the larger of two dogs"
    names = write_json(tmp_path / "names.json", {"person": "dog"})
    assert coco.load(names=names).samples[0].areas == {"dog": 2 / 48}, (
        "the larger of two objects with the same word"
    )
    del coco.document["annotations"][0]["bbox"]
    coco.save()
    samples = coco.load().samples
    assert "dog" in samples[0].objects
    assert samples[0].areas == {"person": 2 / 48}, "unknown without a box"
    assert samples[1].areas == by_id[11]


def test_boxes_are_shares_of_the_image_and_cut_at_its_edges(coco: Coco) -> None:
    for image in coco.document["images"]:
        image |= {"width": 8, "height": 6}
    del coco.document["images"][1]["width"]
    annotations = coco.document["annotations"]
    for annotation in annotations:
        annotation["bbox"] = [2, 3, 4.0, 9]
    coco.save()
    source = coco.load()
    first, without_size, *_ = source.samples
    assert source.boxes(first) == dict.fromkeys(first.objects, ((0.25, 0.5, 0.75, 1.0),))
    assert source.boxes(without_size) == {}
    for bad in ([1, 2, 3], [0, 0, 0, 4], [0, 0, None, 1], [0, 0, float("nan"), 1], "box"):
        annotations[0]["bbox"] = bad
        coco.save()
        again = coco.load()
        assert len(again.boxes(again.samples[0])) == len(first.objects) - 1


def test_images_in_folders_or_flat(coco: Coco) -> None:
    """Objects365 names `images/v1/patch8/x.jpg`. With all archives unpacked into one folder, the file is `x.jpg`."""
    images = coco.document["images"]
    images[0]["file_name"] = "images/v1/patch8/" + images[0]["file_name"]
    nested = coco.folder / "images" / "v1"
    nested.mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(nested / "own.jpg")
    images[1]["file_name"] = "images/v1/own.jpg"
    coco.save()
    source = coco.load("objects365")
    assert [source.image(sample).size for sample in source.samples[:3]] == [(8, 6), (2, 2), (8, 6)]


def _image(**change: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["images"][1].update(change)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_image(file_name="../../secret.jpg"), r"instances\.json: images\[1\]: 'file_name' must be inside"),
        (_image(file_name="/etc/passwd"), "must be inside the folder"),
        (_image(file_name=None), r"images\[1\]: 'file_name' must be a file name, found null"),
        (_image(id="11"), "some are numbers and some are strings|is not among"),
        (_image(id=10), "sample id '10' is in rows 0 and 1"),
        (_image(id=None), r"images\[1\]: 'id' must be"),
        (lambda d: d["annotations"][0].update(category_id=7), r"annotations\[0\]: 'category_id' 7"),
        (lambda d: d.update(images=[]), "holds no|no samples"),
        (lambda d: d.pop("categories"), "'categories' must be a list"),
    ],
)
def test_mistakes_in_the_annotations(
    coco: Coco, change: Callable[[dict[str, Any]], None], expected: str
) -> None:
    change(coco.document)
    coco.save()
    with pytest.raises(UserError, match=expected):
        coco.load()


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("coco", {"annotations": ""}, "give -D annotations=instances.json"),
        ("coco", {"images": ""}, "give -D images=FOLDER"),
        ("coco", {"images": "/nowhere/at/all"}, "-D images=/nowhere/at/all: no such folder"),
        ("coco", {"annotation": "x"}, "no option 'annotation'; did you mean 'annotations'"),
        ("coco", {"annotations": "/nowhere.json"}, "/nowhere.json: no such file"),
        ("coco", {"captions": "/nowhere.json"}, "/nowhere.json: no such file"),
        ("coco/x.json", {}, "coco/x.json: the files are named by options"),
    ],
)
def test_mistakes_in_the_options(coco: Coco, name: str, options: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load_dataset(name, limit=None, seed=0, options=coco.options(**options))


def test_a_missing_image_is_one_unscored_sample(coco: Coco, cli: Cli, tmp_path: Path) -> None:
    """A broken and a missing image are unscored with their reasons, and the others are scored."""
    (coco.folder / "000000000011.jpg").unlink()
    broken = coco.folder / "000000000013.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    answers = write_lines(
        tmp_path / "answers.jsonl",
        [{"image_id": i, "response": "A dog and a person."} for i in range(10, 16)],
    )
    options = [part for key, value in coco.options().items() for part in ("-D", f"{key}={value}")]
    out = tmp_path / "out"
    command = [
        "run",
        "--dataset",
        "coco",
        *options,
        "--model",
        f"replay/{answers}",
        "--out",
        out,
        "--resamples",
        0,
    ]
    dry = cli(*command, "--dry-run")
    assert 'images that cannot be read: 1, the first is of sample "11"; they stay unscored' in dry.out
    assert not out.exists()
    result = cli(*command)
    assert result.code == 3, result.err
    (run,) = [path.parent for path in out.glob("*/run.json")]
    reasons = {row["sample_id"]: row["unscored"] for row in read_lines(run / "judgements.jsonl")}
    assert {name for name, reason in reasons.items() if reason} == {"11", "13"}
    assert "FileNotFoundError" in reasons["11"]
    scores = json.loads((run / "scores.json").read_text())
    assert scores["n"] == {"requested": 6, "samples": 6, "scored": 4, "unscored": 2}
    assert scores["metrics"]["chair"]["chair_i"]["value"] == 1 / 8


def test_no_image_at_all_is_the_wrong_folder(coco: Coco, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"none of its 6 images can be read; the first is .*right folder"):
        coco.load(images=tmp_path / "empty")


def test_a_narrowed_judge_narrows_the_ground_truth(coco: Coco, cli: Cli, tmp_path: Path) -> None:
    answers = write_lines(
        tmp_path / "answers.jsonl", [{"image_id": i, "response": "A dog and a cat."} for i in range(10, 16)]
    )
    options = [part for key, value in coco.options().items() for part in ("-D", f"{key}={value}")]
    command = ["run", "--dataset", "coco", *options, "--model", f"replay/{answers}", "--resamples", 0]
    assert cli(*command, "--out", tmp_path / "out", "-J", "categories=dog,cat").code == 0
    (run,) = [path.parent for path in (tmp_path / "out").glob("*/run.json")]
    assert {tuple(row["objects"]) for row in read_lines(run / "samples.jsonl")} == {("dog",)}
    scores = json.loads((run / "scores.json").read_text())
    assert scores["metrics"]["objects"]["recall"]["value"] == 1
    assert scores["metrics"]["objects"]["precision"]["value"] == 1 / 2
