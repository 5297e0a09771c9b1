"""`--dataset signs`: scenes with signs, whose truth is the names that the signs bear."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from eidolon.benchmark.data.loaders import GeneratedLoader
from eidolon.benchmark.scenes.drawn_dataset import DEFAULT_SAMPLES, draw_rows, read_dials
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render
from eidolon.benchmark.scenes.sign_drawing import ASPECT, draw_sign
from eidolon.benchmark.scenes.sign_names import Part, SignName, names_of

if TYPE_CHECKING:
    import datasets

Box = tuple[float, float, float, float]


class SignDials(BaseModel):
    """The parameters of a dataset of scenes with signs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: Part = "test"
    """Which names the signs bear: those of training, of validation, or of the zero-shot test."""
    min_signs: int = Field(1, ge=1, le=4)
    max_signs: int = Field(3, ge=1, le=4)
    sign_size: float = Field(0.4, ge=0.2, le=0.45)
    """Width of a typical sign as a share of the image side."""
    image_size: int = Field(256, ge=64, le=2048)

    @model_validator(mode="after")
    def _ordered(self) -> "SignDials":
        if self.min_signs > self.max_signs:
            raise ValueError(f"min_signs={self.min_signs} is more than max_signs={self.max_signs}")
        return self


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign in a scene. Its box is in shares of the image side."""

    name: SignName
    box: Box


@dataclass(frozen=True, slots=True)
class SignScene:
    """A scene and the signs on it, sorted by name."""

    scene: Scene
    signs: tuple[Sign, ...]


def make_sign_scene(seed: int, index: int, dials: SignDials) -> SignScene:
    """Return scene `index` of the dataset with this seed. Its signs do not overlap each other."""
    scene = make_scene(seed, index, Dials(min_objects=1, max_objects=3, image_size=dials.image_size))
    rng = scene.rng("signs")
    names = names_of(dials.part)
    count = int(rng.integers(dials.min_signs, dials.max_signs + 1))
    signs: list[Sign] = []
    for i in rng.permutation(len(names))[:count]:
        box = _place(dials.sign_size * rng.uniform(0.85, 1.1), [sign.box for sign in signs], rng)
        signs.append(Sign(names[i], box))
    return SignScene(scene, tuple(sorted(signs, key=lambda sign: sign.name.name)))


def _place(width: float, placed: list[Box], rng: np.random.Generator) -> Box:
    """Return a free box. Four signs of the largest size always fit somewhere."""
    height = width / ASPECT
    while True:
        x, y = float(rng.uniform(0, 1 - width)), float(rng.uniform(0, 1 - height))
        box = (x, y, x + width, y + height)
        if all(box[2] <= b[0] or b[2] <= box[0] or box[3] <= b[1] or b[3] <= box[1] for b in placed):
            return box


def render_signs(scene: SignScene) -> Image.Image:
    """Return the image: the scene's, with the signs in front of its objects, and noise over both."""
    image = render(scene.scene)
    rng = scene.scene.rng("sign drawing")
    for sign in scene.signs:
        x0, y0, _, y1 = (round(value * image.width) for value in sign.box)
        drawn = np.asarray(draw_sign(sign.name.name, rng, max(4, y1 - y0)), dtype=np.float32)
        noisy = drawn + scene.scene.dials.noise * rng.standard_normal(drawn.shape)
        image.paste(Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)), (x0, y0))
    return image


@GeneratedLoader
def load_signs(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Draw scenes with signs: made-up names that look alike; the truth is the names. Options: fields of `SignDials`.

    It has the parameters of `DatasetLoader`. There are `limit` samples, or `DEFAULT_SAMPLES`.
    """
    dials = read_dials(SignDials, "Signs", where, options)
    return load_sign_scenes(DEFAULT_SAMPLES if limit is None else limit, seed, dials)


def load_sign_scenes(n: int, seed: int = 0, dials: SignDials | None = None) -> "datasets.Dataset":
    """Return `n` scenes with signs. The same arguments give the same rows.

    Columns: `sample_id` and `image_id` (`signs-SEED-INDEX`), `image`, `objects` (the names on the signs, sorted), and
    for each of these `areas`, `boxes` and `kinds` (how the names of its family look alike).
    """
    import datasets

    text, number = datasets.Value("string"), datasets.Value("float64")
    features = datasets.Features(
        {
            "sample_id": text,
            "image_id": text,
            "image": datasets.Image(),
            "objects": datasets.List(text),
            "areas": datasets.List(number),
            "boxes": datasets.List(datasets.List(datasets.List(number))),
            "kinds": datasets.List(text),
        }
    )
    return draw_rows(
        _rows, features, name="signs", arguments={"n": n, "seed": seed, "dials": dials or SignDials()}
    )


def _rows(n: int, seed: int, dials: SignDials) -> Iterator[dict[str, Any]]:
    for index in range(n):
        scene = make_sign_scene(seed, index, dials)
        png = io.BytesIO()
        render_signs(scene).save(png, format="PNG", compress_level=1)
        name = f"signs-{seed}-{index}"
        boxes = [sign.box for sign in scene.signs]
        yield {
            "sample_id": name,
            "image_id": name,
            "image": {"bytes": png.getvalue(), "path": None},
            "objects": [sign.name.name for sign in scene.signs],
            "areas": [(b[2] - b[0]) * (b[3] - b[1]) for b in boxes],
            "boxes": [[list(box)] for box in boxes],
            "kinds": [sign.name.kind for sign in scene.signs],
        }
