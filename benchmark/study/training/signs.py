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


PRETRAINED = "pretrained"
"""The folder of the network after image-text pre-training, in the folder of the training."""


def train_signs(
    recipe: SignRecipe,
    out: Path,
    stop_at: int | None,
    hard: "NDArray[np.bool_] | None" = None,
    start: Path | None = None,
) -> None:
    """Train the model of signs of a recipe in the folder `out`; when it is finished, evaluate it and write its card.

    `hard` are hard negatives in place of the recipe's, bool (names, names), and `start` is a checkpoint to start from.
    """
    from eidolon.benchmark.scenes.sign_training import SignBatches, hard_negatives, training_names
    from eidolon.benchmark.study.machine import describe_machine
    from eidolon.benchmark.study.training.card import write_signs_card
    from eidolon.benchmark.study.training.sign_evaluation import evaluate_signs
    from eidolon.models.aligner.proxy_training import ProxyTrainee
    from eidolon.models.aligner.sign_network import make_sign_network
    from eidolon.models.aligner.sign_reader import SignReader, load_sign_reader
    from eidolon.models.base.checkpoint_files import checkpoint_files, file_sha256
    from eidolon.models.training.loop import train_loop

    console = Console(stderr=True, quiet=is_follower())
    network = (
        make_sign_network(recipe.aligner, recipe.signs.seed)
        if start is None
        else load_sign_reader(start).network
    )
    begun = (
        {} if start is None else {name: file_sha256(file) for name, file in checkpoint_files(start).items()}
    )
    hard = hard_negatives(recipe) if hard is None else hard
    with show_progress(recipe.name, recipe.signs.steps, console) as show:

        def on_step(step: int, losses: dict[str, float]) -> None:
            show(step, losses)
            if step == recipe.signs.aligned_batches:
                SignReader(network, recipe.name).save(out / PRETRAINED)
                network.train()

        report = train_loop(
            ProxyTrainee(network, training_names(), hard, recipe.signs),
            SignBatches(recipe, hard),
            recipe.signs,
            out,
            arguments=lambda step: (step < recipe.signs.aligned_batches,),
            reported="proxies",
            stop_at=stop_at,
            on_step=on_step,
            identity={**identity(recipe), "hard_pairs": sha256(hard.tobytes()).hexdigest(), "start": begun},
        )
    if not is_finished(report, recipe.signs.steps, console):
        return
    folder = out / CHECKPOINT
    SignReader(network.cpu(), recipe.name).save(folder)
    console.print("evaluating on names that were not in training")
    evaluation = evaluate_signs(load_sign_reader(folder))
    report = replace(report, parameters=sum(p.numel() for p in network.parameters()))
    write_signs_card(folder, recipe, report, evaluation, describe_machine())
    console.print(f"{folder}: recall@1 {evaluation.recall}")
