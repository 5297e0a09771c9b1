import numpy as np
import pytest
import torch

from eidolon.models.risk.network import RiskModule
from eidolon.models.risk.training import JudgedRun, RiskRecipe, calibrate_risk, train_risk
from eidolon.models.risk.trees import train_trees
from eidolon.scorers.risk.described import Described, judged_row
from eidolon.scorers.risk.network import BATCH, mention_row
from eidolon.scorers.risk.trees import tree_features

V = 4


def response(rng: np.random.Generator, rate: float) -> Described:
    m = int(rng.integers(1, V + 1))
    return Described(
        image_id=int(rng.integers(1000)),
        categories=rng.permutation(V)[:m],
        words=np.arange(m) * 5,
        length=30,
        wrong=(rng.random(m) < rate * (1 + np.arange(m)) / 2).astype(float),
    )


def run(seed: int, rate: float, size: int = 60) -> list[Described]:
    rng = np.random.default_rng(seed)
    return [response(rng, rate) for _ in range(size)]


def test_numpy_and_pytorch_are_one_network() -> None:
    torch.manual_seed(0)
    module = RiskModule(V).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    described = run(0, 0.3)
    network = module.in_numpy(train_trees(described, V))
    trees = network.trees

    rows = [judged_row(one, 1 / (1 + np.exp(-trees.logits(one))), V) for one in described]
    history = module.start[None]
    for first in range(0, len(rows), BATCH):
        batch = np.array(rows[first : first + BATCH])
        history = module.update(history, torch.tensor(batch, dtype=torch.float32)[None])
    np.testing.assert_allclose(
        network.update(network.start(), described), history[0].detach().numpy(), atol=1e-4
    )

    one = max(described, key=lambda one: len(one.categories))
    there = torch.tensor(mention_row(one, trees.logits(one)), dtype=torch.float32)[None]
    logits = module.logits(history, torch.tensor(one.categories)[None], there)
    vector = history[0].detach().numpy().astype(float)
    np.testing.assert_allclose(network.logits(vector, one), logits[0].detach().numpy(), atol=1e-4)
    # The history changes something, and none changes nothing.
    assert np.abs(network.logits(vector, one) - trees.logits(one)).max() > 1e-3
    np.testing.assert_allclose(network.logits(network.start(), one), trees.logits(one), atol=1e-9)


def test_no_mention_sees_a_later_one() -> None:
    module = RiskModule(V).eval()
    described = run(1, 0.3)
    network = module.in_numpy(train_trees(described, V))
    history = network.update(network.start(), described)
    one = next(one for one in described if len(one.categories) == V)
    cut = Described(one.image_id, one.categories[:2], one.words[:2], one.length, one.wrong[:2])
    np.testing.assert_allclose(network.logits(history, one)[:2], network.logits(history, cut))


def test_trees_are_those_of_scikit_learn() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    described = run(2, 0.4, 300)
    trees = train_trees(described, V)
    rows = np.concatenate([tree_features(one, trees.prior) for one in described])
    wrong = np.concatenate([one.wrong for one in described])
    model = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.06, max_leaf_nodes=15, l2_regularization=1.0, random_state=0
    ).fit(rows, wrong)
    np.testing.assert_allclose(trees.of_rows(rows), model.decision_function(rows), atol=1e-9)


def test_history_separates_models_and_seeds_repeat() -> None:
    runs = [JudgedRun(f"m{i}", run(10 + i, rate)) for i, rate in enumerate((0.1, 0.2, 0.5, 0.8, 0.9))]
    recipe = RiskRecipe(steps=60, models=4, responses=8, rate=5e-3)
    network = train_risk(runs, V, recipe)
    again = train_risk(runs, V, recipe)
    assert all(np.array_equal(network.weights[name], again.weights[name]) for name in network.weights)
    asked = run(30, 0.5)
    means = []
    for rate in (0.1, 0.9):
        history = network.update(network.start(), run(20, rate, 100))
        means.append(np.mean([network.logits(history, one).mean() for one in asked]))
    assert means[1] > means[0] + 0.5


def test_too_little_to_learn() -> None:
    right = [JudgedRun(name, run(0, 0.0)) for name in "ab"]
    with pytest.raises(ValueError, match="all right, or all wrong"):
        train_risk(right, V)
    with pytest.raises(ValueError, match="one model"):
        train_risk([JudgedRun("a", run(0, 0.5))], V)
    with pytest.raises(ValueError, match="fewer than three"):
        calibrate_risk(right, V)
