import io
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from eidolon.benchmark.scenes.dataset import load
from eidolon.benchmark.scenes.dialogue_training import CELL_LABELS, cell_targets
from eidolon.benchmark.scenes.scene import Dials, make_scene, render


def test_rows_have_image_and_ground_truth() -> None:
    rows = load(3, seed=9, image_size=96)
    assert isinstance(rows.features["image"], datasets.Image)
    scene = make_scene(9, 1, Dials(image_size=96))
    row = rows[1]
    assert row["sample_id"] == row["image_id"] == "scenes-9-1"
    assert row["objects"] == list(scene.objects)
    assert {t["category"]: t["count"] for t in row["things"]} == {t.category: t.count for t in scene.things}
    assert np.array_equal(np.asarray(row["image"]), np.asarray(render(scene)))


def test_loading_twice_gives_the_same_bytes() -> None:
    def pictures(n: int) -> list[bytes]:
        rows = load(n, seed=4).cast_column("image", datasets.Image(decode=False))
        return [row["image"]["bytes"] for row in rows]

    assert pictures(4)[:2] == pictures(2)
    assert Image.open(io.BytesIO(pictures(1)[0])).size == (192, 192)


def test_the_temporary_file_is_deleted_with_the_dataset() -> None:
    rows = load(2)
    folder = Path(rows.cache_files[0]["filename"]).parent
    assert folder.exists()
    del rows
    assert not folder.exists()


def test_cells_have_the_labels_of_what_is_drawn_in_them() -> None:
    for index in range(50):
        scene = make_scene(2, index, Dials())
        cells = cell_targets(scene, 6)
        shown = {CELL_LABELS[label] for label in np.flatnonzero(cells.any(axis=(0, 1)))}
        assert shown == set(scene.objects) | {t.colour for t in scene.things if t.colour}
        for thing in scene.things:
            x, y = (thing.boxes[0][0] + thing.boxes[0][2]) / 2, (thing.boxes[0][1] + thing.boxes[0][3]) / 2
            assert cells[int(y * 6), int(x * 6), CELL_LABELS.index(thing.category)]
            area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in thing.boxes)
            assert cells[..., CELL_LABELS.index(thing.category)].sum() <= max(
                len(thing.boxes), 36 * area / 0.4
            )
