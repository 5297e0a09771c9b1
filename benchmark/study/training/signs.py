"""Trains a model of signs from a recipe."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from eidolon.benchmark.engine.launch import is_follower
from eidolon.benchmark.scenes.sign_training import SignRecipe
from eidolon.benchmark.study.training.session import CHECKPOINT, identity, is_finished, show_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def train_signs(
    recipe: SignRecipe, out: Path, stop_at: int | None, hard: "NDArray[np.bool_] | None" = None
) -> None:
    """Train the model of signs of a recipe in the folder `out`; when it is finished, evaluate it and write its card.

    `hard` are hard negatives in place of the recipe's, bool (names, names).
    """
    from eidolon.benchmark.scenes.sign_training import SignBatches, hard_negatives
    from eidolon.benchmark.study.machine import describe_machine
    from eidolon.benchmark.study.training.card import write_signs_card
    from eidolon.benchmark.study.training.sign_evaluation import evaluate_signs
    from eidolon.models.aligner.aligner import Aligner, load_aligner
    from eidolon.models.aligner.proxy_training import ProxyTrainee
    from eidolon.models.aligner.towers import make_encoder
    from eidolon.models.training.loop import train_loop

    console = Console(stderr=True, quiet=is_follower())
    encoder = make_encoder(recipe.aligner, recipe.signs.seed)
    hard = hard_negatives(recipe) if hard is None else hard
    with show_progress(recipe.name, recipe.signs.steps, console) as show:
        report = train_loop(
            ProxyTrainee(encoder, hard, recipe.signs),
            SignBatches(recipe, hard),
            recipe.signs,
            out,
            arguments=lambda step: (step < recipe.signs.aligned_batches,),
            reported="proxies",
            stop_at=stop_at,
            on_step=show,
            identity={**identity(recipe), "hard_pairs": sha256(hard.tobytes()).hexdigest()},
        )
    if not is_finished(report, recipe.signs.steps, console):
        return
    folder = out / CHECKPOINT
    Aligner(encoder.cpu(), recipe.name).save(folder)
    console.print("evaluating on names that were not in training")
    evaluation = evaluate_signs(load_aligner(folder).embed_images)
    report = replace(report, parameters=sum(p.numel() for p in encoder.parameters()))
    write_signs_card(folder, recipe, report, evaluation, describe_machine())
    console.print(f"{folder}: recall@1 {evaluation.recall}")
