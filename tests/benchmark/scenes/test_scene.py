import hashlib
import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from eidolon.benchmark.scenes.pen import COLOURS, Pen
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render
from eidolon.benchmark.scenes.world import CATEGORIES, COMPANIONS, THEMES, VOCABULARY
from eidolon.scorers.text.lexicon import load_lexicon

TRUTH_HASHES = {0: "981ae3c40ac9b320", 1: "8c8dcd08b9d1ec4e"}
PICTURE_HASHES = {0: "0fff82bf622fe60e", 1: "b797413a83e16139"}


def truth_hash(seed: int) -> str:
    digest = hashlib.sha256()
    for index in range(20):
        scene = make_scene(seed, index, Dials())
        things = [
            {**asdict(thing), "boxes": [[round(v, 9) for v in box] for box in thing.boxes]}
            for thing in scene.things
        ]
        digest.update(json.dumps([scene.theme, things]).encode())
    return digest.hexdigest()[:16]


def picture_hash(seed: int) -> str:
    digest = hashlib.sha256()
    for index in range(5):
        digest.update(render(make_scene(seed, index, Dials())).tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("seed", TRUTH_HASHES)
def test_a_seed_fixes_the_ground_truth(seed: int) -> None:
    assert truth_hash(seed) == TRUTH_HASHES[seed]


@pytest.mark.parametrize("seed", PICTURE_HASHES)
def test_a_seed_fixes_the_images(seed: int) -> None:
    assert picture_hash(seed) == PICTURE_HASHES[seed]


def test_a_scene_does_not_depend_on_the_others() -> None:
    alone = make_scene(3, 17, Dials())
    for index in range(17):
        make_scene(3, index, Dials())
    assert make_scene(3, 17, Dials()) == alone
    assert make_scene(4, 17, Dials()) != alone


def test_every_category_is_in_the_lexicon_and_has_its_drawing() -> None:
    lexicon = load_lexicon("coco80")
    assert set(VOCABULARY) <= {category.name for category in lexicon.categories}
    assert len(VOCABULARY) >= 24
    background = (1, 2, 3)
    for category in CATEGORIES.values():
        tile = Image.new("RGB", (96, 96), background)
        category.shape(Pen(ImageDraw.Draw(tile), 96), COLOURS[(category.colours or ("grey",))[0]])
        drawn = (np.asarray(tile) != background).any(axis=-1)
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        assert drawn.mean() > 0.08, category.name
        assert max(np.ptp(rows), np.ptp(columns)) > 0.6 * 96, f"{category.name} does not fill its box"


def test_a_thing_changes_the_image_where_its_box_is() -> None:
    dials = Dials(noise=0, distractors=0, min_objects=3, max_objects=6)
    for index in range(20):
        scene = make_scene(8, index, dials)
        last = scene.things[-1]  # drawn last, so that the images differ in nothing else
        without = Scene(scene.seed, scene.index, scene.theme, scene.things[:-1], dials)
        difference = (np.asarray(render(scene)) != np.asarray(render(without))).any(axis=-1)
        inside = np.zeros_like(difference)
        for x0, y0, x1, y1 in last.boxes:
            rows = slice(max(0, int(y0 * 192) - 1), int(y1 * 192) + 2)
            inside[rows, max(0, int(x0 * 192) - 1) : int(x1 * 192) + 2] = True
        assert not difference[~inside].any(), (index, last.category)
        assert difference[inside].mean() > 0.05, (index, last.category)


def test_the_ground_truth_is_within_the_dials() -> None:
    dials = Dials(min_objects=2, max_objects=5, plural=0.5)
    for index in range(200):
        scene = make_scene(1, index, dials)
        assert 2 <= len(scene.things) <= 5
        assert len({thing.category for thing in scene.things}) == len(scene.things)
        assert set(scene.objects).isdisjoint(scene.absent)
        assert set(scene.objects) | set(scene.absent) == set(VOCABULARY)
        for thing in scene.things:
            assert 1 <= thing.count <= 3
            assert all(0 <= b[0] < b[2] <= 1 and 0 <= b[1] < b[3] <= 1 for b in thing.boxes)
            assert thing.colour is None or thing.colour in CATEGORIES[thing.category].colours


def test_things_stay_visible() -> None:
    def covered(box: tuple[float, ...], others: list[tuple[float, ...]]) -> float:
        grid = np.zeros((40, 40), dtype=bool)
        xs = np.linspace(box[0], box[2], 40)
        ys = np.linspace(box[1], box[3], 40)
        for x0, y0, x1, y1 in others:
            grid |= ((ys >= y0) & (ys <= y1))[:, None] & ((xs >= x0) & (xs <= x1))[None, :]
        return float(grid.mean())

    hidden = []
    for index in range(300):
        boxes = [box for thing in make_scene(0, index, Dials()).things for box in thing.boxes]
        hidden += [covered(box, boxes[i + 1 :]) for i, box in enumerate(boxes)]
    assert np.mean([share > 0.5 for share in hidden]) < 0.01


def presence(dials: Dials, n: int = 1500) -> tuple[dict[str, list[set[str]]], list[set[str]]]:
    by_theme: dict[str, list[set[str]]] = {theme.name: [] for theme in THEMES}
    scenes = [make_scene(2, index, dials) for index in range(n)]
    for scene in scenes:
        by_theme[scene.theme].append(set(scene.objects))
    return by_theme, [set(scene.objects) for scene in scenes]


def test_cooccurrence_makes_a_prior() -> None:
    strong, _ = presence(Dials(cooccurrence=0.9))
    none, every = presence(Dials(cooccurrence=0.0))
    kitchen = np.mean(["refrigerator" in objects for objects in strong["kitchen"]])
    elsewhere = np.mean(
        ["refrigerator" in objects for name, sets in strong.items() if name != "kitchen" for objects in sets]
    )
    assert kitchen > 0.5
    assert elsewhere < 0.1 * kitchen + 0.05
    flat = np.mean(["refrigerator" in objects for objects in none["kitchen"]])
    assert flat == pytest.approx(np.mean([len(objects) for objects in every]) / len(VOCABULARY), abs=0.07)


def test_companions_come_together() -> None:
    _, scenes = presence(Dials(cooccurrence=0.9))
    for a, b in COMPANIONS:
        together = np.mean([b in objects for objects in scenes if a in objects])
        apart = np.mean([b in objects for objects in scenes if a not in objects])
        assert together > apart, (a, b)


def test_a_scene_can_hold_far_more_than_usual() -> None:
    crowded = make_scene(0, 0, Dials(min_objects=24, max_objects=24))
    assert len(crowded.things) == 24
    assert np.mean([thing.area for thing in crowded.things]) < 0.05


@pytest.mark.parametrize(
    "dials", [{"min_objects": 5, "max_objects": 3}, {"noise": -1}, {"image_size": 8}, {"colour": "red"}]
)
def test_impossible_dials_are_refused(dials: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Dials.model_validate(dials)
