"""Draw the README's picture from the folder of `make demo`: what a model says about a scene, and the scores.

python docs/demo_picture.py results/runs/demo docs/_static/demo.png
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonlines
import matplotlib
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot

SCENE = 2
COLUMNS = 62
"""Characters a line of the response."""
COLOURS = 64
"""The palette of the file. More colours cost many bytes, because scenes are noisy."""
GROUNDED, HALLUCINATED, PLAIN = "#1a7f37", "#cf222e", "#24292f"
SHOWN = (("objects", "f05", "F0.5, higher is better"), ("chair", "chair_i", "CHAIR_i, lower is better"))


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
        colour = HALLUCINATED if "hallucinated" in verdicts else GROUNDED if verdicts else PLAIN
        found.append((word, colour))
        start += len(word)
    return found


def write_response(axes: Any, coloured: list[tuple[str, str]]) -> None:
    """Write words into axes that are COLUMNS characters wide, line by line."""
    column, line = 0, 0
    for word, colour in coloured:
        if column and column + len(word) > COLUMNS:
            column, line = 0, line + 1
        weight = "normal" if colour == PLAIN else "bold"
        axes.text(column, -line, word, color=colour, weight=weight, family="monospace", size=11)
        column += len(word) + 1
    axes.set(xlim=(0, COLUMNS), ylim=(-6, 1))
    axes.axis("off")


def draw(demo: Path, out: Path) -> None:
    """Draw the scene, the response of `scenes-base` to it, and the scores of every model of the demo."""
    from eidolon.benchmark.scenes.dataset import load

    run = demo / "scenes-base"
    sample_id = f"scenes-0-{SCENE}"
    response = line_of(run, "responses.jsonl", sample_id)["response"]
    mentions = line_of(run, "judgements.jsonl", sample_id)["mentions"]

    figure = pyplot.figure(figsize=(10, 3.6), dpi=110)
    picture = figure.add_axes((0.01, 0.04, 0.32, 0.9))
    picture.imshow(load(SCENE + 1, seed=0)[SCENE]["image"])
    picture.axis("off")
    figure.text(0.36, 0.9, "scenes-base: “Describe this image in detail.”", size=12, weight="bold")
    write_response(figure.add_axes((0.36, 0.4, 0.62, 0.46)), words(response, mentions))

    models = sorted(folder.parent for folder in demo.glob("*/scores.json"))
    for column, (family, name, title) in enumerate(SHOWN):
        axes = figure.add_axes((0.46 + 0.29 * column, 0.12, 0.22, 0.2))
        for row, folder in enumerate(models):
            score = json.loads((folder / "scores.json").read_text())["metrics"][family][name]
            low, high = score["ci"]
            axes.plot((low, high), (-row, -row), color=PLAIN, linewidth=1.5)
            axes.plot(score["value"], -row, "o", color=PLAIN)
        names = [folder.name for folder in models] if column == 0 else []
        axes.set(
            ylim=(-len(models) + 0.4, 0.6), yticks=[-row for row in range(len(names))], yticklabels=names
        )
        axes.set_title(title, size=9, loc="left")
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right", "left"]].set_visible(False)
    pixels = BytesIO()
    figure.savefig(pixels, facecolor="white")
    Image.open(pixels).convert("RGB").quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
