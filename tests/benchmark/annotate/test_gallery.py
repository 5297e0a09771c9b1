"""Names by example crops: the nearest of them, none beyond the limit, and a new name by a new folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from eidolon.benchmark.annotate import kinds
from eidolon.benchmark.annotate.by_gallery import GalleryAnnotator, read_gallery
from eidolon.benchmark.cli import invoke
from eidolon.benchmark.data.annotation_file import read_annotations
from eidolon.models.encoders.regions import cut_out

COLOURS = {"Heinz": (220, 30, 30), "Heineken": (20, 150, 40), "Heimat": (30, 40, 210)}
UNKNOWN = (240, 220, 20)
WALL = (128, 128, 128)


class Colours:
    """Embeds an image by the mean colour of its middle, beside grey."""

    logit_scale, logit_bias = 1.0, None

    def embed_images(self, images):
        rows = []
        for image in images:
            middle = np.asarray(cut_out(image, np.array([0.4, 0.4, 0.6, 0.6]), 0).convert("RGB"), dtype=float)
            rows.append(middle.reshape(-1, 3).mean(axis=0) - 128)
        found = np.array(rows, dtype=np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)


def wall(*signs: tuple[int, int, int]) -> Image.Image:
    """Return a grey wall with signs of these colours on it."""
    image = Image.new("RGB", (160, 100), WALL)
    for k, colour in enumerate(signs):
        ImageDraw.Draw(image).rectangle((8 + 75 * k, 20, 60 + 75 * k, 50), fill=colour)
    return image


def add(gallery: Path, name: str, colour: tuple[int, int, int]) -> None:
    (gallery / name).mkdir(parents=True)
    Image.new("RGB", (30, 20), colour).save(gallery / name / "crop.png")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("Heinz", "Heineken"):
        add(tmp_path / "gallery", name, COLOURS[name])
    images = tmp_path / "images"
    images.mkdir()
    wall(COLOURS["Heinz"]).save(images / "one.png")
    wall(COLOURS["Heineken"], COLOURS["Heinz"]).save(images / "both.png")
    wall(COLOURS["Heimat"]).save(images / "new.png")
    wall(UNKNOWN).save(images / "other.png")
    monkeypatch.setattr(kinds, "dual_encoder", lambda *_: (Colours(), {"colours": 1}))
    return tmp_path


def run(place: Path, *more: str) -> int:
    given = ["annotate", str(place / "images"), "--with", f"gallery/{place / 'gallery'}"]
    return invoke([*given, "-M", "encoder=aligner", "--out", str(place / "objects.jsonl"), *more])


def test_the_encoder_must_be_named(place: Path, capsys) -> None:
    given = ["annotate", str(place / "images"), "--with", f"gallery/{place / 'gallery'}"]
    assert invoke([*given, "--out", str(place / "objects.jsonl")]) == 2
    assert "-M encoder=clip/NAME" in capsys.readouterr().err


def found(place: Path):
    path = place / "objects.jsonl"
    return {row.image_id: row for row in read_annotations(path.read_text(), path)[1]}


def test_signs_are_found_named_and_rejected(place: Path) -> None:
    assert run(place) == 0
    rows = found(place)
    assert rows["one"].objects == ("Heinz",)
    assert rows["both"].objects == ("Heineken", "Heinz")
    assert rows["new"].objects == rows["other"].objects == ()
    assert rows["both"].counts == {"Heineken": 1, "Heinz": 1}
    x0, y0, x1, y1 = rows["both"].boxes["Heineken"][0]
    assert (x0, y0, x1, y1) == pytest.approx((8 / 160, 0.2, 61 / 160, 0.51), abs=0.03)


def test_a_new_name_works_the_moment_its_folder_is_there(place: Path) -> None:
    assert run(place) == 0
    add(place / "gallery", "Heimat", COLOURS["Heimat"])
    assert run(place) == 0
    rows = found(place)
    assert rows["new"].objects == ("Heimat",)
    assert rows["one"].objects == ("Heinz",)
    assert rows["other"].objects == ()


def test_between_two_names_it_is_unsure(place: Path) -> None:
    add(place / "gallery", "Heinzel", COLOURS["Heinz"])
    assert run(place) == 0
    row = found(place)["one"]
    assert row.objects == ()
    assert set(row.unsure) == {"Heinz", "Heinzel"}


def test_scores_are_those_of_the_formula(place: Path) -> None:
    """Region by region and name by name, written out."""
    encoder, names = Colours(), ("Heineken", "Heinz")
    gallery = read_gallery(place / "gallery", names, encoder)
    annotator = GalleryAnnotator(encoder, {}, gallery, regions="whole", reject=0.5)
    image = Image.new("RGB", (40, 40), (200, 120, 40))
    (looked,) = annotator.look([image])
    vector = encoder.embed_images([cut_out(image, np.array([0, 0, 1, 1]))])[0]
    cosines = {
        name: float(vector @ encoder.embed_images([Image.new("RGB", (9, 9), COLOURS[name])])[0])
        for name in names
    }
    for name, other in (names, names[::-1]):
        wanted = 20 * min(cosines[name] - 0.5, cosines[name] - cosines[other])
        assert looked.scores[name] == pytest.approx(wanted, abs=1e-4)


def test_wrong_galleries_take_one_line(place: Path, capsys) -> None:
    def says(*more: str) -> str:
        assert run(place, *more) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    assert "has no folder 'Heimat'" in says("--names", "Heinz,Heimat")
    assert "-M regions=boxes: must be one of components, windows, whole" in says("-M", "regions=boxes")
    assert "-M reject" in says("-M", "reject=2")
    (place / "gallery" / "Empty").mkdir()
    assert "Empty: holds no image; put example crops of 'Empty' in it" in says()
    (place / "gallery" / "Empty" / "a.png").write_bytes(b"no image")
    assert "a.png: the image cannot be read" in says()
    (place / "gallery" / "123").mkdir()
    assert 'the name "123" has no letter' in says()
    nothing = place / "nothing"
    nothing.mkdir()
    given = ["annotate", str(place / "images"), "--out", str(place / "o.jsonl"), "--with"]
    assert invoke([*given, f"gallery/{nothing}"]) == 2
    assert "is empty; make one folder a name" in capsys.readouterr().err
    assert invoke([*given, f"gallery/{place / 'none'}"]) == 2
    assert "no such folder" in capsys.readouterr().err
