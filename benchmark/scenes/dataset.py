"""Scenes as a `datasets.Dataset`: images drawn on demand, with complete ground truth."""

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data.loaders import GeneratedLoader
from eidolon.benchmark.scenes.drawn_dataset import DEFAULT_SAMPLES, draw_rows, read_dials
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render

if TYPE_CHECKING:
    import datasets


@GeneratedLoader
def load_scenes(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Draw Scenes: synthetic images with complete ground truth; the options are the fields of `Dials`.

    It has the parameters of `DatasetLoader`. There are `limit` samples, or `DEFAULT_SAMPLES`.
    """
    dials = read_dials(Dials, "Scenes", where, options)
    return load(DEFAULT_SAMPLES if limit is None else limit, seed, **dials.model_dump())


def load(n: int, seed: int = 0, **dials: Any) -> "datasets.Dataset":
    """Return `n` scenes. `dials` are the fields of `Dials`. The same arguments give the same bytes.

    Columns:

    - `sample_id` and `image_id`: `scenes-SEED-INDEX`.
    - `image`: an `Image` feature, PNG.
    - `objects`: sorted category names.
    - `areas`: of each of `objects`, the share of the image that its largest box covers.
    - `boxes`: of each of `objects`, the boxes (x0, y0, x1, y1) of its instances, as shares of the image side.
    - `colours`: of each of `objects`; null where it is drawn in its own colours.
    - `theme`: the kind of place.
    - `things`: for each category its `colour`, `count`, `boxes` ((x0, y0, x1, y1) as shares of the image side) and
      `area` (of its largest box, as a share of the image).

    Raises:
        pydantic.ValidationError: an unknown dial, or a value out of its range.
    """
    import datasets

    features = datasets.Features(
        {
            "sample_id": datasets.Value("string"),
            "image_id": datasets.Value("string"),
            "image": datasets.Image(),
            "objects": datasets.List(datasets.Value("string")),
            "areas": datasets.List(datasets.Value("float64")),
            "boxes": datasets.List(datasets.List(datasets.List(datasets.Value("float64")))),
            "colours": datasets.List(datasets.Value("string")),
            "theme": datasets.Value("string"),
            "things": datasets.List(
                {
                    "category": datasets.Value("string"),
                    "colour": datasets.Value("string"),
                    "count": datasets.Value("int32"),
                    "boxes": datasets.List(datasets.List(datasets.Value("float64"))),
                    "area": datasets.Value("float64"),
                }
            ),
        }
    )
    return draw_rows(
        _rows, features, name="scenes", arguments={"n": n, "seed": seed, "dials": Dials(**dials)}
    )


def _rows(n: int, seed: int, dials: Dials) -> Iterator[dict[str, Any]]:
    for index in range(n):
        yield row(make_scene(seed, index, dials))


def row(scene: Scene) -> dict[str, Any]:
    """Return the row of a scene in the dataset, with the image as PNG bytes."""
    name = f"scenes-{scene.seed}-{scene.index}"
    things = {thing.category: thing for thing in scene.things}
    png = io.BytesIO()
    render(scene).save(png, format="PNG", compress_level=1)
    return {
        "sample_id": name,
        "image_id": name,
        "image": {"bytes": png.getvalue(), "path": None},
        "objects": list(scene.objects),
        "areas": [things[name].area for name in scene.objects],
        "boxes": [[list(box) for box in things[name].boxes] for name in scene.objects],
        "colours": [things[name].colour for name in scene.objects],
        "theme": scene.theme,
        "things": [
            {
                "category": thing.category,
                "colour": thing.colour,
                "count": thing.count,
                "boxes": [list(box) for box in thing.boxes],
                "area": thing.area,
            }
            for thing in scene.things
        ],
    }
