"""Draw the README's picture from the folder of `make demo`: what a model says about a scene, and the scores.

python docs/demo_picture.py results/runs/demo docs/_static/demo.png
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonlines
from PIL import Image

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import DotRow, dot_rows, number
from eidolon.benchmark.drawing.style import DIM, GROUNDED, HALLUCINATED, INK, Sheet, png, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHEET = Sheet(9.0, 9.0, dpi=130)
SCENE = 2
LINE = 2.0
"""Height of a line of the response, in sizes of the text."""
COLOURS = 96
"""The palette of the file. More colours cost many bytes, because scenes are noisy."""
SHOWN = (("objects", "f05", "F0.5, higher is better"), ("chair", "chair_i", "CHAIR_i, lower is better"))
FORMS = {GROUNDED: "-", HALLUCINATED: ":"}
"""The line under a mention, by its colour, so that colour is not needed."""


def line_of(folder: Path, file: str, sample_id: str) -> Any:
    """Return the line of one sample in a JSON-lines file of a run."""
    with jsonlines.open(folder / file) as lines:
        return next(line for line in lines if line["sample_id"] == sample_id)


def words(text: str, mentions: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the words of a response, each with the colour of the mention that it belongs to."""
    found, start = [], 0
    for word in text.split():
        start = text.index(word, start)
        verdicts = {m["verdict"] for m in mentions if m["start"] < start + len(word) and start < m["end"]}
        colour = HALLUCINATED if "hallucinated" in verdicts else GROUNDED if verdicts else INK
        found.append((word, colour))
        start += len(word)
    return found


def write_response(axes: "Axes", coloured: list[tuple[str, str]], inches: float) -> None:
    """Write words into axes of a width, line by line. Mentions have a line under them."""
    points = SHEET.points + 1
    step, at, line = LINE * points / 72, 0.0, 0
    for word, colour in coloured:
        wide = width_of(word, points) * (1.0 if colour == INK else 1.12)
        if at and at + wide > inches:
            at, line = 0.0, line + 1
        axes.text(at, -line * step, word, color=colour, size=points, va="baseline",
                  weight="normal" if colour == INK else "bold")  # fmt: skip
        if colour != INK:
            under = -line * step - 0.3 * points / 72
            axes.plot([at, at + 0.94 * wide], [under, under], color=colour, lw=1.2, ls=FORMS[colour])
        at += wide + width_of("n", points) * 0.35
    axes.set(xlim=(0, inches), ylim=(-(line + 0.6) * step, step))
    axes.axis("off")


def draw(demo: Path) -> "Figure":
    """Draw the scene, the response of `scenes-base` to it, and the scores of every model of the demo."""
    from eidolon.benchmark.scenes.dataset import load

    run = demo / "scenes-base"
    sample_id = f"scenes-0-{SCENE}"
    response = line_of(run, "responses.jsonl", sample_id)["response"]
    mentions = line_of(run, "judgements.jsonl", sample_id)["mentions"]
    figure = new_figure(SHEET, 3.1)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.1))
    picture = left.subplots()
    picture.imshow(load(SCENE + 1, seed=0)[SCENE]["image"])
    picture.axis("off")
    text, scores = right.subfigures(2, 1, height_ratios=(1.55, 1))
    write_response(text.subplots(), words(response, mentions), SHEET.inches * 2.1 / 3.1 - 0.35)
    models = sorted(folder.parent for folder in demo.glob("*/scores.json"))
    for column, (axes, (family, name, title)) in enumerate(
        zip(scores.subplots(1, len(SHOWN)), SHOWN, strict=True)
    ):
        rows = [score_row(folder, family, name) for folder in models]
        dot_rows(axes, rows, SHEET, label_inches=1.2, labels=column == 0)
        axes.set_title(title, fontsize=SHEET.points, color=DIM)
    wrong = sum(mention["verdict"] == "hallucinated" for mention in mentions)
    named = len(mentions)
    return finish(
        figure, SHEET, f"scenes-base describes a scene: {wrong} of {named} mentions is not in the picture"
        if wrong == 1 else f"scenes-base describes a scene: {wrong} of {named} mentions are not in the picture",
        notes=["Solid line: in the picture. Dotted line: not in the picture. Scores of 64 scenes with 95 % intervals."],
    )  # fmt: skip


def score_row(folder: Path, family: str, name: str) -> DotRow:
    """Return a score of a run as a dot with its interval."""
    score = json.loads((folder / "scores.json").read_text())["metrics"][family][name]
    interval = (score["ci"][0], score["ci"][1])
    return DotRow(folder.name, score["value"], interval, number(score["value"], interval, 2))


if __name__ == "__main__":
    pixels = png(lambda: draw(Path(sys.argv[1])), SHEET)
    small = Image.open(BytesIO(pixels)).convert("RGB").quantize(COLOURS)
    small.save(Path(sys.argv[2]), optimize=True)
