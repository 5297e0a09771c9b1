"""Compares the losses of the aligner on Scenes: loss x batch x seed, and the regularisers. It makes all tables.

    OMP_NUM_THREADS=1 python bench/aligner_losses.py [--out FOLDER] [--tables-only]

So that it fits into minutes on a CPU, the losses train two small networks on fixed inputs: the picture side reads the
pooled features of the vision encoder of `scenes-small`, which was never trained on pairs of pictures and captions, and
the text side reads the counts of words. Loss, step and training loop are those of `eidolon train aligner`.

Each cell (loss, batch size, seed) sees the same number of pairs. Its result is appended to FOLDER/cells.jsonl when it
is done; the same command continues after the last one. The tables go to FOLDER/tables.md.
"""

import argparse
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn

from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render
from eidolon.benchmark.scenes.text import article, caption
from eidolon.benchmark.scenes.world import VOCABULARY
from eidolon.benchmark.study.training.aligner_evaluation import average_precision, nearest_is_own
from eidolon.models.aligner.text_features import words_of
from eidolon.models.aligner.towers import Encoders, Tower
from eidolon.models.aligner.training import AlignerTrainee, AlignerTraining, LossWeights
from eidolon.models.base.shipped import CHECKPOINTS
from eidolon.models.training.loop import train_loop

PAIRS, HELD_OUT = 1024, 512
TRAIN_SEED, TEST_SEED = 6001, 6002
EPOCHS = 16
BATCHES = (16, 32, 64, 128, 256)
SEEDS = (0, 1, 2)
HIDDEN, EMBEDDING = 192, 64
REGULARISED_BATCH = 64
DIALS = Dials(image_size=96)
WEIGHT = 0.1
REGULARISERS: dict[str, dict[str, float]] = {
    "plain": {},
    "separation": {"separation": WEIGHT},
    "bridge": {"bridge": WEIGHT},
    "consistency": {"consistency": WEIGHT},
    "all": {"separation": WEIGHT, "bridge": WEIGHT, "consistency": WEIGHT},
}
"""The weights are ours: the paper's are not public."""
PAPER = {"plain": 44.95, "separation": 46.61, "bridge": 43.15, "consistency": 56.36}
"""Zero-shot top-1 on CIFAR10 in per cent (Jiang et al., CVPR 2023)."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Fixed inputs of both sides. The views are a mirrored, moved picture and another caption of the scene."""

    pictures: Tensor
    captions: Tensor
    picture_views: Tensor
    caption_views: Tensor
    test_pictures: Tensor
    test_captions: Tensor
    names: Tensor
    present: NDArray[np.bool_]


def main() -> None:
    """Train the missing cells and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build") / "aligner-losses")
    parser.add_argument("--tables-only", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "cells.jsonl"
    cells = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(cell["loss"], cell["batch"], cell["seed"]) for cell in cells}
    inputs: Inputs | None = None
    for loss, batch, seed in [] if given.tables_only else planned():
        if (loss, batch, seed) in done:
            continue
        inputs = inputs or make_inputs(given.out / "inputs.npz")
        cells.append({"loss": loss, "batch": batch, "seed": seed, **train(inputs, loss, batch, seed)})
        with path.open("a") as file:
            file.write(json.dumps(cells[-1]) + "\n")
        print({k: v for k, v in cells[-1].items() if k != "hits"}, flush=True)
    text = tables(cells)
    (given.out / "tables.md").write_text(text)
    print(text)


def planned() -> list[tuple[str, int, int]]:
    """Return all cells: first one seed of everything."""
    return [
        cell
        for seed in SEEDS
        for cell in (
            *((loss, batch, seed) for batch in BATCHES for loss in ("ordinary", "decomposable")),
            *((name, REGULARISED_BATCH, seed) for name in REGULARISERS),
        )
    ]


def make_inputs(path: Path) -> Inputs:
    """Return the inputs, from the file if it is there."""
    if not path.exists():
        scenes = [make_scene(TRAIN_SEED, index, DIALS) for index in range(PAIRS)]
        held_out = [make_scene(TEST_SEED, index, DIALS) for index in range(HELD_OUT)]
        images = [render(scene) for scene in scenes]
        views = [ImageOps.mirror(image.crop((4, 4, 92, 92)).resize((96, 96))) for image in images]
        captions = [caption(scene, scene.rng("caption")) for scene in scenes]
        known = sorted(Counter(word for text in captions for word in words_of(text)))
        others = [caption(scene, scene.rng("other caption")) for scene in scenes]
        np.savez(
            path,
            pictures=picture_features(images),
            picture_views=picture_features(views),
            test_pictures=picture_features([render(scene) for scene in held_out]),
            captions=count_words(captions, known),
            caption_views=count_words(others, known),
            test_captions=count_words([caption(s, s.rng("caption")) for s in held_out], known),
            names=count_words([article(name) for name in VOCABULARY], known),
            present=presence(held_out),
        )
    arrays = np.load(path)
    tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "present"}
    return Inputs(**tensors, present=arrays["present"])


def presence(scenes: list[Scene]) -> NDArray[np.bool_]:
    """Return which category is in which scene."""
    return np.array([[name in scene.objects for name in VOCABULARY] for scene in scenes])


def picture_features(images: list[Image.Image]) -> NDArray[np.float32]:
    """Return mean and maximum over the patches of the vision encoder of `scenes-small`."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = CHECKPOINTS / "scenes-small"
    processor: Any = AutoProcessor.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).model.vision_model.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(images), 64):
            pixels = processor.image_processor(images[start : start + 64], return_tensors="pt").pixel_values
            patches = model(pixel_values=pixels.flatten(0, 1)).last_hidden_state
            found.append(torch.cat([patches.mean(1), patches.amax(1)], dim=-1))
    features: NDArray[np.float32] = torch.cat(found).numpy()
    return features


def count_words(texts: list[str], known: list[str]) -> NDArray[np.float32]:
    """Return how often each known word is in each text."""
    places = {word: i for i, word in enumerate(known)}
    counts = np.zeros((len(texts), len(known)), dtype=np.float32)
    for row, text in zip(counts, texts, strict=True):
        for word in words_of(text):
            if word in places:
                row[places[word]] += 1
    return counts


class Side(Tower):
    """One side of the pair: a hidden layer and a head."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, HIDDEN), nn.GELU())
        self.feature_size = HIDDEN
        self.head = nn.Linear(HIDDEN, EMBEDDING)

    def features(self, inputs: Tensor) -> Tensor:
        """Return the hidden layer."""
        return self.hidden(inputs)


def train(inputs: Inputs, loss: str, batch: int, seed: int) -> dict[str, Any]:
    """Return the held-out results of one cell."""
    regularisers = REGULARISERS.get(loss)
    losses = LossWeights(contrast=loss) if regularisers is None else LossWeights(views=True, **regularisers)
    config = AlignerTraining(
        seed=seed,
        learning_rate=1e-3 * (batch / 64) ** 0.5,
        warmup=10,
        gradient_clip=1e9,
        batches=EPOCHS * PAIRS // batch,
        batch_size=batch,
        pairs=PAIRS,
        losses=losses,
        learn_temperature=False,
        save_every=10**6,
    )
    torch.manual_seed(seed)
    sides = Encoders(Side(inputs.pictures.shape[1]), Side(inputs.captions.shape[1]))
    trainee = AlignerTrainee(sides, config)

    def draw(step: int, rank: int, world: int) -> dict[str, Tensor]:
        epoch, place = divmod(step * batch, PAIRS)
        order = np.random.default_rng([seed, epoch]).permutation(PAIRS)
        ids = torch.from_numpy(order[place : place + batch])
        names = ("pictures", "captions", "picture_views", "caption_views")
        return {"ids": ids, **{name: getattr(inputs, name)[ids] for name in names}}

    with tempfile.TemporaryDirectory() as folder:
        report = train_loop(trainee, draw, config, Path(folder), reported="contrast")
    sides.eval()
    with torch.no_grad():
        images = sides.image(inputs.test_pictures).numpy()
        texts, names = sides.text(inputs.test_captions).numpy(), sides.text(inputs.names).numpy()
    hits = nearest_is_own(images @ texts.T) + nearest_is_own(texts @ images.T)
    ranked = images @ names.T
    precisions = [average_precision(ranked[:, k], inputs.present[:, k]) for k in range(len(VOCABULARY))]
    return {
        "recall": float(hits.mean() / 2),
        "average_precision": float(np.mean([value for value in precisions if value is not None])),
        "seconds": round(report.seconds, 1),
        "hits": "".join(str(int(hit)) for hit in hits),
    }


def tables(cells: list[dict[str, Any]]) -> str:
    """Return the tables as Markdown, from the cells that there are."""
    of = {(cell["loss"], cell["batch"], cell["seed"]): cell for cell in cells}
    seeds = sorted({cell["seed"] for cell in cells})
    lines = ["| loss | batch |" + "".join(f" seed {seed} |" for seed in seeds) + " mean |"]
    lines.append("|---|---:|" + "---:|" * (len(seeds) + 1))
    for batch in BATCHES:
        for loss in ("ordinary", "decomposable"):
            values = [of[loss, batch, seed]["recall"] for seed in seeds if (loss, batch, seed) in of]
            shown = "".join(f" {value:.3f} |" for value in values) + " - |" * (len(seeds) - len(values))
            lines.append(f"| {loss} | {batch} |{shown} {np.mean(values):.3f} |" if values else "")
    lines += ["", "| comparison | difference of recall@1 | 95 % interval |", "|---|---:|---|"]
    for half, whole in pairwise(BATCHES):
        for batch in (half, whole):
            first, second = ("decomposable", batch), ("ordinary", whole)
            pairs = [(of.get((*first, s)), of.get((*second, s))) for s in seeds]
            both = [(a["hits"], b["hits"]) for a, b in pairs if a and b]
            if both:
                value, low, high = difference(both)
                name = f"{first[0]} at {first[1]} - {second[0]} at {second[1]}"
                lines.append(f"| {name} | {value:+.3f} | {low:+.3f} to {high:+.3f} |")
    lines += [
        "",
        "| regulariser |" + "".join(f" seed {seed} |" for seed in seeds) + " mean | CIFAR10, paper |",
    ]
    lines.append("|---|" + "---:|" * (len(seeds) + 2))
    for name in REGULARISERS:
        found = [of[name, REGULARISED_BATCH, s] for s in seeds if (name, REGULARISED_BATCH, s) in of]
        if found:
            values = [cell["average_precision"] for cell in found]
            shown = "".join(f" {value:.3f} |" for value in values) + " - |" * (len(seeds) - len(values))
            lines.append(f"| {name} |{shown} {np.mean(values):.3f} | {PAPER.get(name, '-')} |")
    return "\n".join(lines) + "\n"


def difference(pairs: list[tuple[str, str]], resamples: int = 2000) -> tuple[float, float, float]:
    """Return the mean difference of recall over seeds, and its bootstrap interval over held-out scenes, paired."""
    per_scene = np.mean(
        [[(int(a) - int(b)) / 2 for a, b in zip(one, other, strict=True)] for one, other in pairs], axis=0
    )
    rng = np.random.default_rng(0)
    drawn = per_scene[rng.integers(len(per_scene), size=(resamples, len(per_scene)))].mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(per_scene.mean()), float(low), float(high)


if __name__ == "__main__":
    main()
