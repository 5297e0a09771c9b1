"""A dataset: grey pictures, every other one with an orange ball."""

from collections.abc import Mapping

import datasets
from PIL import Image, ImageDraw

from eidolon.scorers.core.errors import UserError

SIDE, SIZE = 48, 10


def load_balls(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> datasets.Dataset:
    """Ten grey pictures, every other one with an orange ball."""
    if options:
        raise UserError(f"-D {next(iter(options))}: balls takes no options")
    rows = []
    for number in range(SIZE):
        picture = Image.new("RGB", (SIDE, SIDE), "grey")
        if number % 2:
            ImageDraw.Draw(picture).ellipse((number, number, number + 20, number + 20), fill="orange")
        rows.append({"image_id": number, "image": picture, "objects": ["sports ball"] if number % 2 else []})
    features = datasets.Features(
        {
            "image_id": datasets.Value("int64"),
            "image": datasets.Image(),
            "objects": datasets.List(datasets.Value("string")),
        }
    )
    return datasets.Dataset.from_list(rows, features=features)
