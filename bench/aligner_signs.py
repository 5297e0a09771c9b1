"""Trains models of signs with and without image-text pre-training and hard negatives, and compares them on new names.

    OMP_NUM_THREADS=1 python bench/aligner_signs.py [--out FOLDER] [--only NAME]… [--tables-only]

Each model is a training of `eidolon train` in a folder of its own, so the same command continues after a kill.

    recipe                    `eidolon train aligner-signs`: the shipped model
    pre-training              the same model before its phase with proxies
    similarity, none,         that phase again, from the pre-trained network, with hard negatives by the similarity of
    confusion                 names, with none, and by the confusions of `none` on the training names
    similarity 2, …, none 3   `similarity` and `none` with two more seeds
    nothing, similarity       all steps with proxies and none with names: no pre-training and no spelling loss
    nothing, none             the same without hard negatives

Then the models read smaller crops, where the test is hard enough to show a difference: `small.md`.
"""

import argparse
from collections.abc import Mapping, Sequence
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
from eidolon.benchmark.study.training.sign_evaluation import (
    SignEvaluation,
    evaluate_signs,
    prototypes,
    recognised,
    share,
)
from eidolon.benchmark.study.training.signs import PRETRAINED, train_signs
from eidolon.models.aligner.hard_negatives import confused_classes
from eidolon.models.aligner.sign_reader import SignReader, load_sign_reader

CROPS = 4
"""Crops of each training name for the prototypes of the first model, and as many to classify."""
RECIPE, ALIGNED = "recipe", "pre-training"
HEIGHTS = (40, 20, 14, 12, 10)
"""Heights of the crops of the second table, in pixels."""
PAIRS = (("similarity", "none"), ("none", "pre-training"))
"""Models of the second table whose difference is shown. With several seeds it is that of the means."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Arm:
    """A model beside the shipped one."""

    name: str
    pretrained: bool
    hard: Literal["similarity", "none", "confusion"]
    seed: int = SIGNS.signs.seed

    @property
    def recipe(self) -> SignRecipe:
        """The recipe: the second phase alone, or all steps with proxies."""
        signs = SIGNS.signs
        if self.pretrained:
            peak = signs.restarts[0].learning_rate
            update = {"proxy_batches": signs.proxy_batches, "learning_rate": peak}
        else:
            update = {"proxy_batches": signs.steps, "spelling": 0.0, "spelled_proxies": False}
        phase = signs.model_copy(
            update={"aligned_batches": 0, "restarts": (), "horizon": None, "seed": self.seed, **update}
        )
        hard = "similarity" if self.hard == "similarity" else "none"
        data_seed = SIGNS.data_seed + self.seed - SIGNS.signs.seed
        return SIGNS.model_copy(
            update={"name": self.name, "signs": phase, "hard": hard, "data_seed": data_seed}
        )


ARMS = (
    Arm("similarity", True, "similarity"),
    Arm("none", True, "none"),
    Arm("confusion", True, "confusion"),
    Arm("similarity 2", True, "similarity", 2),
    Arm("none 2", True, "none", 2),
    Arm("similarity 3", True, "similarity", 3),
    Arm("none 3", True, "none", 3),
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
    small = small_table(given.out, [name for name, _ in rows])
    (given.out / "small.md").write_text(small)
    print(f"{text}\n{small}")


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


def checkpoint_of(out: Path, name: str) -> Path:
    """Return the folder of the weights of a model."""
    return out / RECIPE / PRETRAINED if name == ALIGNED else out / name / CHECKPOINT


def read(out: Path, name: str) -> SignEvaluation | None:
    """Return the results of a model, None if it was not trained."""
    written = checkpoint_of(out, name) / "evaluation.json"
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


def small_table(out: Path, names: Sequence[str]) -> str:
    """Return recall@1 of crops of each height as Markdown, and the differences of PAIRS, both with 95 % intervals."""
    readers = {name: load_sign_reader(checkpoint_of(out, name)) for name in names}
    head = ["model", *(f"{height} px" for height in HEIGHTS)]
    columns = [_small_column(readers, height) for height in HEIGHTS]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


def _small_column(readers: Mapping[str, SignReader], height: int) -> dict[str, str]:
    found = {name: recognised(reader, height) for name, reader in readers.items()}
    right = {name: values for name, (values, _) in found.items()}
    families = next(iter(found.values()))[1]
    shown = {name: str(share(values, families.tolist())) for name, values in right.items()}
    for first, second in PAIRS:
        gained = _mean(right, first) - _mean(right, second)
        shown[f"{first} minus {second}"] = difference(gained, families) if gained.any() else "0.000"
    return shown


def _mean(right: Mapping[str, NDArray[np.bool_]], name: str) -> NDArray[np.float64]:
    """Return the mean over the seeds of a model, by crop."""
    seeds = [values.astype(float) for other, values in right.items() if other.rstrip(" 0123456789") == name]
    found: NDArray[np.float64] = np.mean(seeds, axis=0)
    return found


def difference(values: NDArray[np.float64], families: NDArray[np.int_]) -> str:
    """Return the mean and its percentile interval by a bootstrap over families."""
    members = [values[families == family] for family in np.unique(families)]
    sums = np.array([[group.sum(), len(group)] for group in members])
    drawn = sums[np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))].sum(1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()
