"""A scene: its objects and their places, which are the ground truth, and the image that is drawn from them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from eidolon.benchmark.scenes.pen import COLOURS, Pen
from eidolon.benchmark.scenes.shapes import Shape
from eidolon.benchmark.scenes.world import CATEGORIES, COMPANIONS, DISTRACTORS, THEMES, VOCABULARY, Theme

COMPANION_BOOST = 4.0
"""How much likelier an object becomes if its companion is in the scene, at full co-occurrence."""
SUPERSAMPLING = 3
"""Shapes are drawn at this multiple of their size and then reduced."""
MAX_OVERLAP = 0.25
"""How much of the smaller of two objects the other one may cover. Less is preferred."""


class Dials(BaseModel):
    """The parameters of a Scenes dataset. All of them are part of the hash of the dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_objects: int = Field(3, ge=1, le=len(VOCABULARY))
    """Fewest distinct categories in a scene."""
    max_objects: int = Field(8, ge=1, le=len(VOCABULARY))
    """Most distinct categories. More than about 10 are more than a small memory keeps."""
    cooccurrence: float = Field(0.85, ge=0, le=1)
    """0: every object is equally likely in every theme. 1: only the usual objects of a theme, companions together."""
    plural: float = Field(0.2, ge=0, le=1)
    """Probability that a category appears two or three times."""
    distractors: int = Field(1, ge=0, le=12)
    """Largest number of drawn things outside the vocabulary (tree, cloud, lamp, rock, star)."""
    noise: float = Field(6.0, ge=0, le=80)
    """Standard deviation of the pixel noise, in levels of 0 to 255."""
    blur: float = Field(0.0, ge=0, le=8)
    """Radius of the Gaussian blur, in pixels of an image of 192 pixels."""
    object_size: float = Field(0.23, gt=0.04, le=0.6)
    """Side of a typical object as a share of the image side. Crowded scenes reduce it."""
    image_size: int = Field(192, ge=32, le=2048)
    """Side of the square image, in pixels."""

    @model_validator(mode="after")
    def _ordered(self) -> "Dials":
        if self.min_objects > self.max_objects:
            raise ValueError(f"min_objects={self.min_objects} is more than max_objects={self.max_objects}")
        return self


@dataclass(frozen=True, slots=True)
class Thing:
    """All instances of one category in a scene."""

    category: str
    colour: str | None
    """None for a category that is drawn in its own colours."""
    boxes: tuple[tuple[float, float, float, float], ...]
    """(x0, y0, x1, y1) of each instance, as shares of the image side."""

    @property
    def count(self) -> int:
        """Number of instances."""
        return len(self.boxes)

    @property
    def centre(self) -> tuple[float, float]:
        """Mean centre of the instances, as shares of the image side."""
        xs = [(b[0] + b[2]) / 2 for b in self.boxes]
        ys = [(b[1] + b[3]) / 2 for b in self.boxes]
        return sum(xs) / len(xs), sum(ys) / len(ys)

    @property
    def area(self) -> float:
        """Area of the largest box, as a share of the image."""
        return max((b[2] - b[0]) * (b[3] - b[1]) for b in self.boxes)


@dataclass(frozen=True, slots=True)
class Scene:
    """The complete ground truth of one image, and the seed of its drawing."""

    seed: int
    index: int
    theme: str
    things: tuple[Thing, ...]
    dials: Dials

    @property
    def objects(self) -> tuple[str, ...]:
        """The categories present, sorted."""
        return tuple(sorted(thing.category for thing in self.things))

    @property
    def absent(self) -> tuple[str, ...]:
        """The categories that are not present, in the order of the vocabulary."""
        present = set(self.objects)
        return tuple(name for name in VOCABULARY if name not in present)

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the random generator of this scene for one purpose, independent of those for other purposes."""
        return np.random.default_rng([self.seed, self.index, *purpose.encode()])


def make_scene(seed: int, index: int, dials: Dials) -> Scene:
    """Return scene `index` of the dataset with this seed. The same arguments give the same scene."""
    rng = np.random.default_rng([seed, index, *b"layout"])
    theme = THEMES[rng.integers(len(THEMES))]
    names = _choose_categories(theme, int(rng.integers(dials.min_objects, dials.max_objects + 1)), dials, rng)
    counts = [int(rng.integers(2, 4)) if rng.random() < dials.plural else 1 for _ in names]
    side = dials.object_size * min(1.0, (8 / sum(counts)) ** 0.5)
    placed: list[tuple[float, float, float, float]] = []
    things = []
    for name, count in zip(names, counts, strict=True):
        category = CATEGORIES[name]
        boxes = []
        for _ in range(count):
            box = _place(side * category.scale * rng.uniform(0.8, 1.25), placed, rng)
            placed.append(box)
            boxes.append(box)
        colour = str(rng.choice(category.colours)) if category.colours else None
        things.append(Thing(name, colour, tuple(boxes)))
    return Scene(seed, index, theme.name, tuple(things), dials)


def _choose_categories(theme: Theme, n: int, dials: Dials, rng: np.random.Generator) -> list[str]:
    usual = np.array([theme.usual.get(name, 0.0) for name in VOCABULARY])
    weights = dials.cooccurrence * usual / usual.sum() + (1 - dials.cooccurrence) / len(VOCABULARY)
    chosen: list[str] = []
    for _ in range(n):
        if not weights.any():
            # At full co-occurrence, the theme has fewer usual objects than `n`.
            weights = np.array([float(name not in chosen) for name in VOCABULARY])
        pick = int(rng.choice(len(VOCABULARY), p=weights / weights.sum()))
        name = VOCABULARY[pick]
        chosen.append(name)
        weights[pick] = 0.0
        for pair in COMPANIONS:
            if name in pair:
                other = VOCABULARY.index(pair[1] if name == pair[0] else pair[0])
                weights[other] *= 1 + dials.cooccurrence * COMPANION_BOOST
    return chosen


def _place(
    side: float, placed: list[tuple[float, float, float, float]], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    side = min(side, 0.9)
    best, best_overlap = (0.0, 0.0, side, side), float("inf")
    for _ in range(40):
        x, y = rng.uniform(0.01, 0.99 - side, 2)
        box = (float(x), float(y), float(x) + side, float(y) + side)
        overlap = max((_overlap(box, other) for other in placed), default=0.0)
        if overlap < best_overlap:
            best, best_overlap = box, overlap
        if overlap <= MAX_OVERLAP * rng.random():
            break
    return best


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((a[2] - a[0]) ** 2, (b[2] - b[0]) ** 2)


def render(scene: Scene) -> Image.Image:
    """Return the image of a scene: RGB, `dials.image_size` pixels a side."""
    dials, rng = scene.dials, scene.rng("render")
    size = dials.image_size
    theme = next(theme for theme in THEMES if theme.name == scene.theme)
    canvas = _background(theme, size, rng)
    for _ in range(int(rng.integers(0, dials.distractors + 1))):
        side = rng.uniform(0.12, 0.24)
        x, y = rng.uniform(0.0, 1.0 - side, 2)
        shape = DISTRACTORS[rng.integers(len(DISTRACTORS))]
        _stamp(canvas, shape, (90, 90, 95), (x, y, x + side, y + side), rng.normal(0, 6))
    for thing in scene.things:
        category = CATEGORIES[thing.category]
        base = COLOURS[thing.colour] if thing.colour else (120, 120, 125)
        for box in thing.boxes:
            light = rng.uniform(0.88, 1.1)
            red, green, blue = (int(min(255.0, c * light * rng.uniform(0.97, 1.03))) for c in base)
            angle = rng.normal(0, 7) if category.upright else rng.uniform(-75, 75)
            _stamp(canvas, category.shape, (red, green, blue), box, float(angle))
    if dials.blur:
        canvas = canvas.filter(ImageFilter.GaussianBlur(dials.blur * size / 192))
    pixels = np.asarray(canvas, dtype=np.float32)
    pixels = pixels + np.float32(dials.noise) * rng.standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _background(theme: Theme, size: int, rng: np.random.Generator) -> Image.Image:
    wall = np.array(theme.wall[rng.integers(len(theme.wall))], dtype=np.float32)
    floor = np.array(theme.floor[rng.integers(len(theme.floor))], dtype=np.float32)
    horizon = int(size * rng.uniform(0.5, 0.72))
    fade = np.linspace(1.06, 0.92, size, dtype=np.float32)[:, None, None]
    rows = np.where(np.arange(size)[:, None, None] < horizon, wall, floor) * fade
    pixels = np.broadcast_to(np.clip(rows, 0, 255), (size, size, 3)).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _stamp(
    canvas: Image.Image,
    shape: Shape,
    colour: tuple[int, int, int],
    box: tuple[float, float, float, float],
    angle: float,
) -> None:
    side = max(4, round((box[2] - box[0]) * canvas.width))
    tile = Image.new("RGBA", (side * SUPERSAMPLING, side * SUPERSAMPLING))
    shape(Pen(ImageDraw.Draw(tile), side * SUPERSAMPLING), colour)
    tile = tile.rotate(angle, resample=Image.Resampling.BILINEAR, expand=True)
    tile = tile.resize((side, side), resample=Image.Resampling.BOX)
    canvas.paste(tile, (round(box[0] * canvas.width), round(box[1] * canvas.height)), tile)
