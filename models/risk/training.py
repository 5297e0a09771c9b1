"""Training of the risk network on judged runs, from pseudo-models with a history of any length.

There are few real models. So each training example is a pseudo-model: a run whose responses are drawn with weights that
prefer or avoid wrong mentions, overall and by category. Its history and the responses that are predicted are drawn with
the same weights, which teaches the network to read a model's habits from its history. The trees' log-odds of a run come
from trees that did not see its model, as they will for a model that is new.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from eidolon.models.risk.network import RiskModule
from eidolon.models.risk.trees import train_trees
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.risk.described import PLACE_FEATURES, TOTALS, Described, judged_row
from eidolon.scorers.risk.network import BATCH, RiskNetwork, mention_row
from eidolon.scorers.risk.quality import PlattScaling, fit_platt
from eidolon.scorers.risk.trees import Trees

HISTORIES = (1, 2, 4, 8)
"""Batches of judged responses that a pseudo-model has, each as likely."""

CALIBRATION_HISTORY = 100
"""Judged responses with which the calibration with history is fitted."""


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """Judged responses of one model."""

    model: str
    described: Sequence[Described]


@dataclass(frozen=True, slots=True)
class RiskRecipe:
    """How the network is trained."""

    steps: int = 300
    models: int = 8
    """Pseudo-models in a step."""
    responses: int = 24
    """Responses of each that are predicted."""
    rate: float = 1.5e-3
    decay: float = 0.1
    tilt: float = 0.5
    """Standard deviation of the preference for surprises, in log weight for each."""
    category_tilt: float = 0.3
    """The same for surprises of one category."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Run:
    """A run as padded arrays."""

    judged: NDArray[np.float32]
    categories: torch.Tensor
    rows: torch.Tensor
    wrong: torch.Tensor
    surprise: FloatArray


def train_risk(runs: Sequence[JudgedRun], vocabulary: int, recipe: RiskRecipe = RiskRecipe()) -> RiskNetwork:
    """Return the network trained on judged runs, over so many categories. The same seed gives the same weights.

    Raises:
        ValueError: the runs are of one model only, or their mentions are all right or all wrong.
    """
    models = sorted({run.model for run in runs})
    if len(models) < 2:
        raise ValueError("the runs are of one model: how models differ cannot be learned from it")
    prepared = []
    for model in models:
        trees = train_trees([one for run in runs if run.model != model for one in run.described], vocabulary)
        prepared += [_prepare(run.described, trees, vocabulary) for run in runs if run.model == model]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        module = RiskModule(vocabulary)
        rng = np.random.default_rng(recipe.seed)
        optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=recipe.steps)
        for _ in range(recipe.steps):
            loss = _loss(module, prepared, recipe, rng)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return module.eval().in_numpy(train_trees([one for run in runs for one in run.described], vocabulary))


def calibrate_risk(
    runs: Sequence[JudgedRun], vocabulary: int, recipe: RiskRecipe = RiskRecipe()
) -> tuple[PlattScaling, PlattScaling]:
    """Return the calibrations without and with history, from a network that did not see one of the models.

    The model is chosen by the seed. Its first `CALIBRATION_HISTORY` judged responses are the history.

    Raises:
        ValueError: the runs are of fewer than three models, or say too little.
    """
    models = sorted({run.model for run in runs})
    if len(models) < 3:
        raise ValueError("the runs are of fewer than three models: none can be left out for the calibration")
    held = models[recipe.seed % len(models)]
    network = train_risk([run for run in runs if run.model != held], vocabulary, recipe)
    plain, learned, wrong = [], [], []
    for run in (run for run in runs if run.model == held):
        history = network.update(network.start(), run.described[:CALIBRATION_HISTORY])
        for one in run.described[CALIBRATION_HISTORY:]:
            plain.append(network.logits(network.start(), one)[one.known])
            learned.append(network.logits(history, one)[one.known])
            wrong.append(one.wrong[one.known])
    outcome = np.concatenate(wrong)
    return fit_platt(np.concatenate(plain), outcome), fit_platt(np.concatenate(learned), outcome)


def _prepare(described: Sequence[Described], trees: Trees, vocabulary: int) -> _Run:
    kept = [one for one in described if bool(one.known.any())]
    shape = len(kept), max((len(one.categories) for one in kept), default=1)
    categories = np.zeros(shape, dtype=np.int64)
    rows = np.zeros((*shape, PLACE_FEATURES + 1), dtype=np.float32)
    wrong = np.full(shape, np.nan, dtype=np.float32)
    judged = np.zeros((len(kept), vocabulary + TOTALS), dtype=np.float32)
    for number, one in enumerate(kept):
        m, logits = len(one.categories), trees.logits(one)
        categories[number, :m], wrong[number, :m] = one.categories, one.wrong
        rows[number, :m] = mention_row(one, logits)
        judged[number] = judged_row(one, expit(logits), vocabulary)
    return _Run(
        judged,
        torch.from_numpy(categories),
        torch.from_numpy(rows),
        torch.from_numpy(wrong),
        judged[:, :vocabulary].astype(float),
    )


def _loss(
    module: RiskModule, runs: Sequence[_Run], recipe: RiskRecipe, rng: np.random.Generator
) -> torch.Tensor:
    """Return the mean log loss of one step. All its pseudo-models have histories of one length."""
    batches = int(rng.choice(HISTORIES))
    asked, judged = [], []
    for _ in range(recipe.models):
        run = runs[int(rng.integers(len(runs)))]
        taste = rng.normal(0, recipe.tilt) + recipe.category_tilt * rng.normal(size=run.surprise.shape[1])
        weights = np.exp(np.clip(run.surprise @ taste, -4, 4))
        size = recipe.responses + batches * BATCH
        # Without repeats where the run is large enough: a history must not hold the answer.
        drawn = rng.choice(len(weights), size, replace=size > len(weights), p=weights / weights.sum())
        asked.append((run, drawn[: recipe.responses]))
        judged.append(run.judged[drawn[recipe.responses :]].reshape(batches, BATCH, run.judged.shape[1]))
    history = module.start.expand(recipe.models, -1)
    for batch in range(batches):
        history = module.update(history, torch.from_numpy(np.stack([one[batch] for one in judged])))
    width = max(run.wrong.shape[1] for run, _ in asked)
    categories = _stack([run.categories[rows] for run, rows in asked], width)
    wrong = _stack([run.wrong[rows] for run, rows in asked], width, missing=float("nan"))
    where = _stack([run.rows[rows] for run, rows in asked], width)
    logits = module.logits(history.repeat_interleave(recipe.responses, 0), categories, where)
    known = ~torch.isnan(wrong)
    return nn.functional.binary_cross_entropy_with_logits(logits[known], wrong[known])


def _stack(parts: Sequence[torch.Tensor], width: int, missing: float = 0.0) -> torch.Tensor:
    """Return the rows of all parts, each cut or padded to `width` mentions."""
    cut = [part[:, :width] for part in parts]
    shape = cut[0].shape[2:]
    return torch.cat(
        [
            torch.cat([one, one.new_full((len(one), width - one.shape[1], *shape), missing)], dim=1)
            for one in cut
        ]
    )
