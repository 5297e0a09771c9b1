"""The contents of scenes: categories with their drawings, colours and names, and themes with their usual objects."""

from dataclasses import dataclass

from eidolon.benchmark.scenes import shapes
from eidolon.benchmark.scenes.pen import Rgb
from eidolon.benchmark.scenes.shapes import Shape


@dataclass(frozen=True, slots=True)
class SceneCategory:
    """A COCO category that can be drawn."""

    name: str
    plural: str
    shape: Shape
    colours: tuple[str, ...] = ()
    """The colours it is drawn in. With more than one, a description may name the colour."""
    scale: float = 1.0
    """Size relative to the typical object of the scene."""
    upright: bool = True
    """Whether it is drawn upright, with a slight tilt. Other things are drawn at any angle."""
    synonyms: tuple[tuple[str, str], ...] = ()
    """Other names that a description may use, singular and plural. CHAIR's synonym table has them all."""


PAINTS = ("red", "blue", "green", "yellow", "purple", "white", "black")

CATEGORIES: dict[str, SceneCategory] = {
    c.name: c
    for c in (
        SceneCategory("person", "people", shapes.person, ("red", "blue", "green", "yellow", "purple"), 1.35,
                 synonyms=(("man", "men"), ("woman", "women"))),
        SceneCategory("bicycle", "bicycles", shapes.bicycle, ("red", "blue", "green", "black"), 1.2,
                 synonyms=(("bike", "bikes"),)),
        SceneCategory("car", "cars", shapes.car, ("red", "blue", "green", "yellow", "white", "black"), 1.4,
                 synonyms=(("automobile", "automobiles"),)),
        SceneCategory("boat", "boats", shapes.boat, ("red", "blue", "brown", "black"), 1.3,
                 synonyms=(("sailboat", "sailboats"),)),
        SceneCategory("traffic light", "traffic lights", shapes.traffic_light, scale=1.1,
                 synonyms=(("traffic signal", "traffic signals"),)),
        SceneCategory("fire hydrant", "fire hydrants", shapes.fire_hydrant, ("red", "yellow"),
                 synonyms=(("hydrant", "hydrants"),)),
        SceneCategory("stop sign", "stop signs", shapes.stop_sign, scale=1.1),
        SceneCategory("bench", "benches", shapes.bench, ("brown", "green", "grey"), 1.2),
        SceneCategory("bird", "birds", shapes.bird, ("red", "blue", "yellow", "white", "black"), 0.9),
        SceneCategory("cat", "cats", shapes.cat, ("black", "white", "grey", "brown"), 1.1,
                 synonyms=(("kitten", "kittens"),)),
        SceneCategory("umbrella", "umbrellas", shapes.umbrella, ("red", "blue", "green", "yellow", "purple", "pink"),
                 1.2),
        SceneCategory("sports ball", "sports balls", shapes.sports_ball, scale=0.8, upright=False,
                 synonyms=(("ball", "balls"),)),
        SceneCategory("kite", "kites", shapes.kite, ("red", "blue", "green", "yellow", "purple", "pink")),
        SceneCategory("surfboard", "surfboards", shapes.surfboard, ("red", "blue", "yellow", "pink"), 1.3),
        SceneCategory("bottle", "bottles", shapes.bottle, ("green", "blue", "brown", "red")),
        SceneCategory("cup", "cups", shapes.cup, PAINTS, 0.9),
        SceneCategory("fork", "forks", shapes.fork, upright=False),
        SceneCategory("knife", "knives", shapes.knife, ("black", "red", "brown"), upright=False),
        SceneCategory("bowl", "bowls", shapes.bowl, PAINTS, 0.95),
        SceneCategory("banana", "bananas", shapes.banana, scale=0.95, upright=False),
        SceneCategory("apple", "apples", shapes.apple, ("red", "green"), 0.8),
        SceneCategory("orange", "oranges", shapes.orange, scale=0.8),
        SceneCategory("pizza", "pizzas", shapes.pizza, upright=False),
        SceneCategory("donut", "donuts", shapes.donut, ("pink", "brown", "white"), 0.85, upright=False,
                 synonyms=(("doughnut", "doughnuts"),)),
        SceneCategory("cake", "cakes", shapes.cake, ("pink", "brown", "white"), 0.95),
        SceneCategory("chair", "chairs", shapes.chair, ("brown", "red", "blue", "green", "white"), 1.2),
        SceneCategory("potted plant", "potted plants", shapes.potted_plant, scale=1.1,
                 synonyms=(("houseplant", "houseplants"),)),
        SceneCategory("bed", "beds", shapes.bed, ("red", "blue", "green", "purple", "pink"), 1.5),
        SceneCategory("tv", "tvs", shapes.tv, scale=1.25, synonyms=(("television", "televisions"),)),
        SceneCategory("laptop", "laptops", shapes.laptop, scale=1.05, synonyms=(("computer", "computers"),)),
        SceneCategory("cell phone", "cell phones", shapes.cell_phone, ("black", "red", "blue", "white"), 0.85,
                 synonyms=(("phone", "phones"), ("smartphone", "smartphones"))),
        SceneCategory("refrigerator", "refrigerators", shapes.refrigerator, scale=1.5,
                 synonyms=(("fridge", "fridges"),)),
        SceneCategory("book", "books", shapes.book, ("red", "blue", "green", "brown", "purple"), 0.9),
        SceneCategory("clock", "clocks", shapes.clock, ("black", "red", "brown", "blue"), 0.95),
        SceneCategory("vase", "vases", shapes.vase, ("blue", "green", "white", "purple", "brown")),
        SceneCategory("scissors", "scissors", shapes.scissors, ("red", "blue", "black", "yellow"), 0.95, upright=False),
        SceneCategory("teddy bear", "teddy bears", shapes.teddy_bear, scale=1.05),
    )
}  # fmt: skip

VOCABULARY: tuple[str, ...] = tuple(CATEGORIES)
DISTRACTORS: tuple[Shape, ...] = (shapes.tree, shapes.cloud, shapes.lamp, shapes.rock, shapes.star)
"""Things that are drawn, but are not in the vocabulary and never in a description."""


@dataclass(frozen=True, slots=True)
class Theme:
    """A kind of place: its colours, and the weight of each of its usual objects. The weights need not sum to one."""

    name: str
    wall: tuple[Rgb, ...]
    floor: tuple[Rgb, ...]
    usual: dict[str, float]


THEMES: tuple[Theme, ...] = (
    Theme("kitchen", ((246, 236, 206), (232, 240, 228)), ((198, 176, 150), (176, 180, 184)),
          {"refrigerator": 5, "bowl": 4, "cup": 3, "knife": 3, "fork": 3, "apple": 2, "banana": 2, "orange": 2,
           "bottle": 2, "pizza": 1, "clock": 1, "chair": 1}),
    Theme("street", ((176, 200, 222), (196, 200, 206)), ((112, 112, 116), (128, 124, 120)),
          {"car": 5, "traffic light": 4, "person": 3, "stop sign": 3, "bicycle": 2, "fire hydrant": 2, "bench": 1,
           "bird": 1, "umbrella": 1}),
    Theme("beach", ((150, 208, 240), (176, 220, 242)), ((240, 220, 165), (232, 208, 150)),
          {"surfboard": 5, "umbrella": 4, "boat": 3, "person": 3, "kite": 2, "sports ball": 2, "bird": 2,
           "bottle": 1, "chair": 1}),
    Theme("bedroom", ((222, 206, 230), (240, 214, 214)), ((160, 124, 92), (140, 112, 96)),
          {"bed": 5, "teddy bear": 4, "book": 3, "clock": 3, "cat": 2, "vase": 2, "tv": 2, "cell phone": 1,
           "chair": 1, "potted plant": 1}),
    Theme("office", ((214, 222, 226), (226, 226, 218)), ((128, 134, 146), (150, 144, 138)),
          {"laptop": 5, "chair": 4, "cup": 3, "book": 3, "cell phone": 3, "scissors": 2, "potted plant": 2,
           "clock": 2, "bottle": 1, "tv": 1}),
    Theme("park", ((168, 214, 246), (190, 222, 236)), ((118, 176, 92), (104, 160, 88)),
          {"bench": 5, "bird": 4, "kite": 3, "bicycle": 3, "person": 2, "sports ball": 2, "cat": 2, "umbrella": 1,
           "boat": 1}),
    Theme("party", ((250, 206, 170), (250, 220, 226)), ((178, 120, 130), (150, 120, 160)),
          {"cake": 5, "donut": 4, "person": 3, "pizza": 3, "cup": 2, "bottle": 2, "fork": 2, "chair": 1,
           "teddy bear": 1, "vase": 1}),
)  # fmt: skip

COMPANIONS: tuple[tuple[str, str], ...] = (
    ("knife", "fork"), ("cup", "bowl"), ("apple", "orange"), ("car", "traffic light"), ("person", "umbrella"),
    ("surfboard", "boat"), ("bed", "teddy bear"), ("laptop", "cell phone"), ("book", "clock"),
    ("bench", "bicycle"), ("cake", "donut"),
)  # fmt: skip
"""Pairs that occur together more often than the theme alone implies."""
