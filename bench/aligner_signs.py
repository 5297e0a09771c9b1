"""Trains models of signs with and without image-text pre-training and hard negatives, and compares them on new names.

    OMP_NUM_THREADS=1 python bench/aligner_signs.py [--out FOLDER] [--only NAME]… [--tables-only]

Each model is a training of `eidolon train` in a folder of its own, so the same command continues after a kill.

    recipe                    `eidolon train aligner-signs`: the shipped model
    pre-training              the same model before its phase with proxies
    similarity, none,         that phase again, from the pre-trained network, with hard negatives by the similarity of
    confusion                 names, with none, and by the confusions of `none` on the training names
    nothing, similarity       all steps with proxies and none with names: no pre-training and no spelling loss
    nothing, none             the same without hard negatives
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from eidolon.benchmark.scenes.sign_drawing import crop
from eidolon.benchmark.scenes.sign_names import KINDS
from eidolon.benchmark.scenes.sign_training import SIGNS, SignRecipe, training_names
from eidolon.benchmark.study.training.session import CHECKPOINT
from eidolon.benchmark.study.training.sign_evaluation import SignEvaluation, evaluate_signs, prototypes
from eidolon.benchmark.study.training.signs import PRETRAINED, train_signs
from eidolon.models.aligner.hard_negatives import confused_classes
from eidolon.models.aligner.sign_reader import load_sign_reader

CROPS = 4
"""Crops of each training name for the prototypes of the first model, and as many to classify."""
RECIPE, ALIGNED = "recipe", "pre-training"


@dataclass(frozen=True, slots=True)
class Arm:
    """A model beside the shipped one."""

    name: str
    pretrained: bool
    hard: Literal["similarity", "none", "confusion"]

    @property
    def recipe(self) -> SignRecipe:
        """The recipe: the second phase alone, or all steps with proxies."""
        signs = SIGNS.signs
        if self.pretrained:
            peak = signs.restarts[0].learning_rate
            update = {"proxy_batches": signs.proxy_batches, "learning_rate": peak}
        else:
            update = {"proxy_batches": signs.steps, "spelling": 0.0, "spelled_proxies": False}
        phase = signs.model_copy(update={"aligned_batches": 0, "restarts": (), "horizon": None, **update})
        hard = "similarity" if self.hard == "similarity" else "none"
        return SIGNS.model_copy(update={"name": self.name, "signs": phase, "hard": hard})


ARMS = (
    Arm("similarity", True, "similarity"),
    Arm("none", True, "none"),
    Arm("confusion", True, "confusion"),
    Arm("nothing, similarity", False, "similarity"),
    Arm("nothing, none", False, "none"),
)


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build") / "aligner-signs")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="train only the models with these names"
    )
    parser.add_argument("--tables-only", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.tables_only:
        for name in (RECIPE, *(arm.name for arm in ARMS)):
            if given.only is None or name in given.only:
                train(given.out, name)
    rows = [
        (name, found)
        for name in (RECIPE, ALIGNED, *(a.name for a in ARMS))
        if (found := read(given.out, name))
    ]
    text = table(rows)
    (given.out / "table.md").write_text(text)
    print(text)


def train(out: Path, name: str) -> None:
    """Train one model, if it is not there yet."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CHECKPOINT / "evaluation.json").exists():
        return
    if name == RECIPE:
        train_signs(SIGNS, folder, None)
        evaluation = evaluate_signs(load_sign_reader(folder / PRETRAINED))
        (folder / PRETRAINED / "evaluation.json").write_text(evaluation.model_dump_json(indent=2) + "\n")
        return
    arm = next(arm for arm in ARMS if arm.name == name)
    hard = confusions(out / "none" / CHECKPOINT) if arm.hard == "confusion" else None
    if hard is not None and not hard.any():
        print(
            "confusion: no pair of names is confused in 5 to 35 % of the crops, so that the model is that of `none`"
        )
        return
    train_signs(arm.recipe, folder, None, hard, out / RECIPE / PRETRAINED if arm.pretrained else None)


def read(out: Path, name: str) -> SignEvaluation | None:
    """Return the results of a model, None if it was not trained."""
    checkpoint = out / RECIPE / PRETRAINED if name == ALIGNED else out / name / CHECKPOINT
    written = checkpoint / "evaluation.json"
    return SignEvaluation.model_validate_json(written.read_text()) if written.exists() else None


def confusions(checkpoint: Path) -> NDArray[np.bool_]:
    """Return the hard negatives of the training names by the confusions of a trained model on new crops of them."""
    reader, names = load_sign_reader(checkpoint), training_names()

    def embed(purpose: bytes) -> NDArray[np.float32]:
        rng = np.random.default_rng([*purpose])
        return reader.embed_images([crop(name, rng) for name in names for _ in range(CROPS)])

    nearest = (embed(b"questions") @ prototypes(embed(b"gallery"), CROPS).T).argmax(1)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (np.repeat(np.arange(len(names)), CROPS), nearest), 1)
    return confused_classes(counts, names)


def table(rows: Sequence[tuple[str, SignEvaluation]]) -> str:
    """Return the results as Markdown."""
    head = ("model", "recall@1", *KINDS, "one crop", "by name", "all letters read", "false acceptance")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, found in rows:
        kinds = [found.by_kind[kind] for kind in KINDS]
        more = (found.one_example, found.by_name, found.spelled, found.false_acceptance)
        lines.append("| " + " | ".join(map(str, [name, found.recall, *kinds, *more])) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
