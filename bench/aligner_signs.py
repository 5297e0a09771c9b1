"""Trains models of signs with and without image-text pre-training and hard negatives, and compares them on new names.

    OMP_NUM_THREADS=1 python bench/aligner_signs.py [--out FOLDER] [--seeds 1] [--only NAME]… [--tables-only]

Each model is a training of `eidolon train` in a folder of its own, so the same command continues after a kill. The
first one is the recipe of the shipped model. Without pre-training a model takes all its steps with proxies. With
`confusion`, hard negatives come from the confusion matrix of the model without hard negatives on the training names.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eidolon.benchmark.scenes.sign_drawing import crop
from eidolon.benchmark.scenes.sign_names import KINDS
from eidolon.benchmark.scenes.sign_training import SIGNS, SignRecipe, training_names
from eidolon.benchmark.study.training.session import CHECKPOINT
from eidolon.benchmark.study.training.sign_evaluation import SignEvaluation, prototypes
from eidolon.benchmark.study.training.signs import train_signs
from eidolon.models.aligner.aligner import load_aligner
from eidolon.models.aligner.hard_negatives import confused_classes

CROPS = 4
"""Crops of each training name for the prototypes of the first model, and as many to classify."""


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build") / "aligner-signs")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="train only the models with these names"
    )
    parser.add_argument("--tables-only", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, recipe in planned(given.seeds):
        folder = given.out / name
        written = folder / CHECKPOINT / "evaluation.json"
        chosen = not given.tables_only and (given.only is None or name in given.only)
        if not written.exists() and chosen:
            folder.mkdir(parents=True, exist_ok=True)
            hard = None
            if "confusion" in name:
                hard = confusions(given.out / name.replace("confusion", "none") / CHECKPOINT)
            train_signs(recipe, folder, None, hard)
        if written.exists():
            rows.append((name, SignEvaluation.model_validate_json(written.read_text())))
    text = table(rows)
    (given.out / "table.md").write_text(text)
    print(text)


def planned(seeds: int) -> Iterator[tuple[str, SignRecipe]]:
    """Yield the name and recipe of each model."""
    steps = SIGNS.signs.steps
    alone = SIGNS.signs.model_copy(update={"aligned_batches": 0, "proxy_batches": steps})
    for seed in range(seeds):
        for start, training in (("pre-trained", SIGNS.signs), ("from nothing", alone)):
            for hard in ("similarity", "none", "confusion"):
                if (start, hard) == ("from nothing", "confusion"):
                    continue
                update = {
                    "hard": "similarity" if hard == "similarity" else "none",
                    "signs": training.model_copy(update={"seed": training.seed + seed}),
                }
                yield f"{start}, {hard}, {seed}", SIGNS.model_copy(update=update)


def confusions(checkpoint: Path) -> NDArray[np.bool_]:
    """Return the hard negatives of the training names by the confusions of a trained model on new crops of them."""
    aligner, names = load_aligner(checkpoint), training_names()

    def embed(purpose: bytes) -> NDArray[np.float32]:
        rng = np.random.default_rng([*purpose])
        return aligner.embed_images([crop(name, rng) for name in names for _ in range(CROPS)])

    nearest = (embed(b"questions") @ prototypes(embed(b"gallery"), CROPS).T).argmax(1)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (np.repeat(np.arange(len(names)), CROPS), nearest), 1)
    return confused_classes(counts, names)


def table(rows: list[tuple[str, SignEvaluation]]) -> str:
    """Return the results as Markdown."""
    head = ("start, hard negatives, seed", "recall@1", *KINDS, "errors in the family", "false acceptance")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, found in rows:
        within = "-" if found.confused_within is None else f"{found.confused_within:.2f}"
        cells = [name, found.recall, *(found.by_kind[kind] for kind in KINDS), within, found.false_acceptance]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
