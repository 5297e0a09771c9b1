"""`eidolon annotate` with an artificial annotator: the file, the cut, resuming, and what is wrong with inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eidolon.benchmark.annotate import part_file
from eidolon.benchmark.annotate.calibrate import choose_cut, decide, fit, probabilities
from eidolon.benchmark.annotate.kinds import Chosen
from eidolon.benchmark.cli import invoke
from eidolon.benchmark.data.annotation_file import read_annotations
from tests.benchmark.annotate.noisy import NAMES, NoisyAnnotator, make_images


class Place:
    """A folder of images with an annotator."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images, self.out = folder / "images", folder / "images" / "objects.jsonl"
        self.truth = make_images(self.images, 60)
        self.annotator = NoisyAnnotator(NAMES, self.truth)
        monkeypatch.setattr(Chosen, "make", lambda chosen: self.annotator)

    def label(self, count: int) -> Path:
        """Write the truth of the first images, and return its file."""
        file = self.images.parent / "labelled.jsonl"
        rows = [
            {"image_id": f"{k:03}", "objects": [*objects, "tree"]}
            for k, objects in enumerate(list(self.truth.values())[:count])
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    def run(self, *more: str) -> int:
        """Run the command."""
        given = ["annotate", str(self.images), "--with", "clip/none", "--names", ",".join(NAMES)]
        return invoke([*given, "--out", str(self.out), *more])

    def read(self):
        """Return header and rows."""
        return read_annotations(self.out.read_text(), self.out)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_without_a_labelled_part_the_cut_is_fixed_and_said(place: Place, capsys) -> None:
    assert place.run() == 0
    said = capsys.readouterr()
    assert "no labelled part" in said.err
    assert "unverified" in said.err
    header, rows = place.read()
    assert (header.cut.low, header.cut.high) == (0.3, 0.7)
    assert "not chosen on labelled images" in header.cut.rule
    assert header.truth() == "clip/none (unverified)"
    assert len(rows) == header.images == 60
    for row in rows:
        for name in NAMES:
            p = row.probabilities[name]
            assert (name in row.objects) == (p >= 0.7)
            assert (name in row.unsure) == (0.3 <= p < 0.7)
        for name in row.boxes:
            assert name in row.objects
            assert row.counts[name] == 1
            assert row.areas[name] == 0.16


def test_a_labelled_part_chooses_the_cut_and_is_kept(place: Place, capsys) -> None:
    assert place.run("--labelled", str(place.label(30))) == 0
    assert capsys.readouterr().err == ""
    header, rows = place.read()
    assert header.labelled is not None
    assert header.labelled.images == 30
    assert header.labelled.precision is not None
    assert header.labelled.precision > 0.8
    assert header.calibration is not None
    assert header.calibration.slope > 0
    assert header.truth() == "clip/none (30 labelled)"
    assert [row.labelled is not None for row in rows] == [True] * 30 + [False] * 30
    assert rows[0].labelled == tuple(next(iter(place.truth.values())))
    right = sum(set(row.objects) == set(there) for row, there in zip(rows, place.truth.values(), strict=True))
    assert right > 40


def test_a_labelled_image_has_no_part_in_its_own_cut(place: Place) -> None:
    """With its label turned round, an image keeps its probabilities, and others change."""
    file = place.label(30)
    assert place.run("--labelled", str(file)) == 0
    _, before = place.read()
    lines = file.read_text().splitlines()
    first = json.loads(lines[0])
    first["objects"] = [name for name in NAMES if name not in first["objects"]]
    file.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    assert place.run("--labelled", str(file)) == 0
    _, after = place.read()
    assert after[0].labelled != before[0].labelled
    assert after[0].probabilities == before[0].probabilities
    assert after[0].objects == before[0].objects
    assert after[40].probabilities != before[40].probabilities


def test_the_same_command_again_looks_at_nothing(place: Place, capsys) -> None:
    assert place.run() == 0
    once = place.out.read_bytes()
    place.annotator.looked_at.clear()
    assert place.run() == 0
    assert place.annotator.looked_at == []
    assert place.out.read_bytes() == once
    assert "0 images looked at" in capsys.readouterr().out.splitlines()[-3]
    assert place.run("--labelled", str(place.label(20))) == 0
    assert place.annotator.looked_at == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--names", "cup,dog"), '--names ["cup", "dog", "chair"], and not ["cup", "dog"]'),
        (("--with", "detector/other"), '--with "clip/none", and not "detector/other"'),
        (("--batch-size", "7"), "--batch-size 16, and not 7"),
    ],
)
def test_a_file_of_another_command_is_kept(place: Place, capsys, options, told: str) -> None:
    assert place.run() == 0
    before = place.out.read_bytes()
    capsys.readouterr()
    names = options[1].split(",") if options[0] == "--names" else NAMES
    place.annotator = NoisyAnnotator(names, place.truth)
    assert place.run(*options) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--out {place.out}: holds the annotations of another command: " in said
    assert "name another --out, or remove the file" in said
    assert told in said, said
    assert place.out.read_bytes() == before
    assert not place.out.with_name(place.out.name + part_file.SUFFIX).exists()


def test_a_file_of_other_images_is_kept(place: Place, capsys) -> None:
    assert place.run() == 0
    before = place.out.read_bytes()
    place.truth.update(make_images(place.images.parent / "others", 2, seed=9))
    for k in range(2):
        (place.images.parent / "others" / f"{k:03}.png").rename(
            place.images.parent / "others" / f"other{k}.png"
        )
    place.images = place.images.parent / "others"
    assert place.run() == 2
    assert "holds the annotations of another command: other images" in capsys.readouterr().err
    assert place.out.read_bytes() == before


def test_a_killed_command_goes_on_after_its_last_batch(place: Place, monkeypatch) -> None:
    assert place.run() == 0
    whole = place.out.read_bytes()
    place.out.unlink()
    look = NoisyAnnotator.look

    def killed(annotator, images):
        if len(annotator.looked_at) >= 32:
            raise KeyboardInterrupt
        return look(annotator, images)

    place.annotator.looked_at.clear()
    monkeypatch.setattr(NoisyAnnotator, "look", killed)
    assert place.run() == 130
    part = place.out.with_name(place.out.name + part_file.SUFFIX)
    part.write_bytes(part.read_bytes()[:-20])  # the second batch is torn
    kept = part.read_bytes()
    assert place.run("--batch-size", "7") == 2  # another command
    assert part.read_bytes() == kept
    monkeypatch.setattr(NoisyAnnotator, "look", look)
    place.annotator.looked_at.clear()
    assert place.run() == 0
    assert len(place.annotator.looked_at) == 60 - 16
    assert place.out.read_bytes() == whole
    assert not part.exists()


def test_a_new_image_is_the_only_one_looked_at(place: Place) -> None:
    assert place.run("--batch-size", "1") == 0
    place.annotator.looked_at.clear()
    new = make_images(place.images.parent / "more", 1, seed=9)
    place.truth.update(new)
    (place.images.parent / "more" / "000.png").rename(place.images / "new.png")
    assert place.run("--batch-size", "1") == 0
    assert place.annotator.looked_at == [*new]
    assert place.read()[0].images == 61


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--names", "cup,dog,Cup"), '--names: the name "Cup" is there twice, as "cup"; leave one out'),
        (("--names", "cup,42"), "--names: the name \"42\" has no letter; write what can be seen, as 'cup'"),
        (("--names", "none.txt"), "none.txt: no such file"),
        (("--with", "clip"), "--with clip: name the checkpoint: clip/NAME"),
        (("--with", "clop/x"), "--with clop/x: unknown annotator 'clop'; did you mean 'clip'?"),
        (("--thresholds", "0.7,0.3"), "--thresholds"),
        (("--template", "a photo"), "must have {} once"),
        (("-M", "regions=whole"), "-M regions=whole: is an option of gallery/FOLDER"),
    ],
)
def test_wrong_settings_take_one_line(place: Place, capsys, options, message: str) -> None:
    assert place.run(*options) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_wrong_files_take_one_line(place: Place, capsys) -> None:
    def says(*options: str) -> str:
        assert place.run(*options) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    other = place.images.parent / "other.jsonl"
    other.write_text('{"image_id": "000", "objects": []}\n{"image_id": "elsewhere", "objects": ["cup"]}\n')
    assert f'--labelled {other}: image "elsewhere" is not among the images' in says("--labelled", str(other))
    other.write_text('{"image_id": "000", "objects": []}\n')
    assert "labels 1 image; it takes at least 2" in says("--labelled", str(other))
    names = place.images.parent / "names.txt"
    names.write_text("cup\n\n--\n")
    assert f'{names}:3: the name "--" has no letter' in says("--names", str(names))
    place.out.write_text('{"image_id": "000", "objects": []}\n')
    assert f"--out {place.out}: there is another file, which is kept" in says()
    place.out.unlink()
    broken = place.images / "broken.png"
    broken.write_bytes((place.images / "000.png").read_bytes()[:40])
    assert f"{broken}: the image cannot be read" in says()
    broken.unlink()
    assert (
        invoke(["annotate", str(place.images / "none"), "--with", "clip/x", "--names", "a", "--out", "o"])
        == 2
    )
    assert "none: no such folder of images" in capsys.readouterr().err


def test_the_fit_finds_the_log_odds_that_made_the_labels() -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(4000, 2))
    odds = 1.5 * scores + np.array([0.5, -1.0])
    truth = draw.random(scores.shape) < 1 / (1 + np.exp(-odds))
    found = fit(scores, truth, ["a", "b"])
    assert abs(found.slope - 1.5) < 0.1
    assert abs(found.offsets["a"] - 0.5) < 0.12
    assert abs(found.offsets["b"] + 1.0) < 0.12
    backwards = fit(-scores, truth, ["a", "b"])
    assert backwards.slope == 0


def test_the_cut_is_the_one_of_the_rule() -> None:
    """A naive search over all probabilities finds the same numbers."""
    draw = np.random.default_rng(1)
    for _ in range(20):
        truth = draw.random((30, 3)) < 0.3
        p = np.round(np.clip(0.5 + 0.25 * (truth - 0.5) + 0.2 * draw.normal(size=truth.shape), 0, 1), 2)
        cut = choose_cut(p, truth, 0.8)
        values = sorted(set(p.ravel()))

        def f1(t, p=p, truth=truth):
            said = p >= t
            return 2 * (said & truth).sum() / (said.sum() + truth.sum())

        best = max(values, key=lambda t: (f1(t), t))
        high = [t for t in values if t >= best and (truth & (p >= t)).sum() >= 0.8 * (p >= t).sum()]
        low = [t for t in values if t <= best and (truth & (p >= t)).sum() >= 0.8 * truth.sum()]
        assert cut.high == (min(high) if high else None)
        assert cut.low == (min(max(low), cut.high) if high else max(low))
        present, unsure = decide(p, cut)
        assert not (present & unsure).any()


def test_nothing_is_present_where_no_cell_is() -> None:
    cut = choose_cut(np.array([[0.2, 0.4]]), np.array([[False, False]]), 0.8)
    assert cut.high is None
    assert not decide(np.array([[0.9]]), cut)[0].any()


def test_probabilities_without_a_calibration_are_the_sigmoid() -> None:
    assert probabilities(np.array([[0.0]]), None, ["a"]).tolist() == [[0.5]]


def test_images_with_one_stem_keep_their_endings(place: Place) -> None:
    Image.new("RGB", (3, 3)).save(place.images / "000.bmp")
    place.truth.update({key: [] for key in _hashes(place.images / "000.bmp")})
    assert place.run() == 0
    assert {row.image_id for row in place.read()[1]} >= {"000.bmp", "000.png"}


def _hashes(path: Path) -> list[str]:
    from eidolon.benchmark.data.images import read
    from eidolon.benchmark.engine.cache_keys import picture_hash

    return [picture_hash(read(str(path)))]
