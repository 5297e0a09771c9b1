"""Risk of mentions on the real runs, leave one model out, beside baselines. Prints Markdown tables.

    EIDOLON_REFERENCE_DATA=… python bench/evaluate_risk.py --keep FOLDER [--seeds 2] [--only MODEL]

Every number is of responses that no history holds: those of a run after its first 200. Baselines learn from the same
runs. Intervals are percentiles over images (1,000 resamples). scikit-learn is needed.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from reference_runs import load_runs
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from eidolon.models.risk.training import JudgedRun, RiskRecipe, train_risk
from eidolon.models.risk.trees import train_trees
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.risk.described import Described, describe, places
from eidolon.scorers.risk.network import RiskNetwork
from eidolon.scorers.risk.quality import PlattScaling, auroc, brier, fit_platt, log_loss, reliability

HISTORIES = (0, 50, 200)
HELD = max(HISTORIES)
RESAMPLES = 1000
PRIOR = 5.0
"""Mentions at the mean rate that are added to each category's."""


@dataclass(frozen=True)
class Run:
    """A run of the reference data."""

    name: str
    model: str
    described: list[Described]


def read() -> tuple[list[Run], int]:
    """Return the runs and the number of categories."""
    names = LexiconJudge().vocabulary
    index = {name: i for i, name in enumerate(names)}
    return [
        Run(
            run.name,
            run.model,
            [describe(r, j, index) for r, j in zip(run.responses, run.judgements, strict=True)],
        )
        for run in load_runs()
    ], len(names)


def pooled(runs: Sequence[Sequence[Described]]) -> list[Described]:
    """Return the responses of all runs that name an object."""
    return [one for run in runs for one in run if len(one.categories)]


def table(described: Sequence[Described], vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Return category (n,) and features (n, …) for the tree: place, and what was named before."""
    before = []
    for one in described:
        hot = np.zeros((len(one.categories), vocabulary))
        hot[np.arange(len(hot)), one.categories] = 1
        before.append(np.cumsum(hot, axis=0) - hot)
    category = np.concatenate([one.categories for one in described])
    return category, np.concatenate(
        [np.concatenate([places(one) for one in described]), np.concatenate(before)], axis=1
    )


def truth(described: Sequence[Described]) -> np.ndarray:
    """Return the outcomes of all mentions."""
    return np.concatenate([one.wrong for one in described])


def fit_position(train: Sequence[Described], vocabulary: int) -> Callable[[Sequence[Described]], np.ndarray]:
    """Return the baseline by place alone."""
    _, x = table(train, vocabulary)
    model = LogisticRegression(max_iter=1000).fit(x[:, :5], truth(train))
    return lambda test: model.predict_proba(table(test, vocabulary)[1][:, :5])[:, 1]


def fit_prior(train: Sequence[Described], vocabulary: int) -> Callable[[Sequence[Described]], np.ndarray]:
    """Return the baseline by the category's rate in training and place."""
    y = truth(train)
    category, _ = table(train, vocabulary)
    counts, wrong = np.bincount(category, minlength=vocabulary), np.bincount(category, y, vocabulary)
    prior = logit((wrong + PRIOR * y.mean()) / (counts + PRIOR))

    def inputs(described: Sequence[Described]) -> np.ndarray:
        category, x = table(described, vocabulary)
        return np.concatenate([x[:, :5], prior[category][:, None]], axis=1)

    model = LogisticRegression(max_iter=1000).fit(inputs(train), y)
    return lambda test: model.predict_proba(inputs(test))[:, 1]


def fit_tree(train: Sequence[Described], vocabulary: int) -> Callable[[Sequence[Described]], np.ndarray]:
    """Return the gradient-boosted tree on all features except the history."""
    trees = train_trees(train, vocabulary)
    return lambda test: expit(np.concatenate([trees.logits(one) for one in test]))


def shifted(risk: np.ndarray, seen: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Return the tree's risks after the simplest use of a history: one intercept that fits the judged mentions."""
    offset = 0.0
    for _ in range(30):
        p = expit(logit(np.clip(seen, 1e-6, 1 - 1e-6)) + offset)
        offset += ((outcome - p).sum() - offset) / ((p * (1 - p)).sum() + 1.0)
    return expit(logit(np.clip(risk, 1e-6, 1 - 1e-6)) + offset)


def net_logits(network: RiskNetwork, run: Sequence[Described], history: int) -> np.ndarray:
    """Return the log-odds of the mentions after the first `HELD` responses, with so many of these judged."""
    state = network.update(network.start(), run[:history]) if history else network.start()
    return np.concatenate([network.logits(state, one) for one in run[HELD:]])


def calibrate(runs: Sequence[Run], vocabulary: int, recipe: RiskRecipe) -> tuple[PlattScaling, PlattScaling]:
    """Return the calibrations without and with history, from a network that did not see one of the models."""
    model = sorted({run.model for run in runs})[recipe.seed % len({run.model for run in runs})]
    network = train([run for run in runs if run.model != model], vocabulary, recipe)
    held = [run for run in runs if run.model == model]
    y = np.concatenate([truth(run.described[HELD:]) for run in held])

    def logits(history: int) -> np.ndarray:
        return np.concatenate([net_logits(network, run.described, history) for run in held])

    longer = [h for h in HISTORIES if h]
    return fit_platt(logits(0), y), fit_platt(
        np.concatenate([logits(h) for h in longer]), np.concatenate([y] * len(longer))
    )


def train(runs: Sequence[Run], vocabulary: int, recipe: RiskRecipe) -> RiskNetwork:
    """Return the network of these runs."""
    return train_risk([JudgedRun(run.model, run.described) for run in runs], vocabulary, recipe)


@dataclass
class Predicted:
    """Predictions for the mentions of one held-out run, by method."""

    run: str
    images: np.ndarray
    wrong: np.ndarray
    risk: dict[str, np.ndarray]


def evaluate(runs: Sequence[Run], vocabulary: int, seeds: int, model: str) -> list[Predicted]:
    """Return predictions for every run of a model by what was trained without it."""
    found = []
    others = [run for run in runs if run.model != model]
    rows = pooled([run.described for run in others])
    baselines = {
        "position": fit_position(rows, vocabulary),
        "category and position": fit_prior(rows, vocabulary),
        "tree": fit_tree(rows, vocabulary),
    }
    networks = []
    for seed in range(seeds):
        recipe = RiskRecipe(seed=seed)
        networks.append((train(others, vocabulary, recipe), *calibrate(others, vocabulary, recipe)))
    for run in (r for r in runs if r.model == model):
        rest = run.described[HELD:]
        named = [one for one in rest if len(one.categories)]
        risk = {name: method(named) for name, method in baselines.items()}
        for history in HISTORIES[1:]:
            seen = [one for one in run.described[:history] if len(one.categories)]
            tree = baselines["tree"]
            risk[f"tree, shifted by {history}"] = shifted(risk["tree"], tree(seen), truth(seen))
        for history in HISTORIES:
            for seed, (network, without, with_history) in enumerate(networks):
                calibration = with_history if history else without
                risk[f"network, {history} judged, seed {seed}"] = calibration.probabilities(
                    net_logits(network, run.described, history)
                )
        images = np.concatenate([[one.image_id] * len(one.categories) for one in named])
        found.append(Predicted(run.name, images, truth(rest), risk))
    return found


def measures(risk: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return AUROC, Brier score and log loss."""
    return np.array([auroc(risk, wrong), brier(risk, wrong).mean(), log_loss(risk, wrong).mean()])


def by_method(one: Predicted, seeds: int) -> dict[str, np.ndarray]:
    """Return the measures of each method, the networks' as the mean over seeds."""
    return _measured(one, seeds, np.arange(len(one.wrong)))


def _measured(one: Predicted, seeds: int, rows: np.ndarray) -> dict[str, np.ndarray]:
    plain = {
        name: measures(risk[rows], one.wrong[rows])
        for name, risk in one.risk.items()
        if not name.startswith("network")
    }
    for history in HISTORIES:
        plain[f"network, {history} judged"] = np.mean(
            [
                measures(one.risk[f"network, {history} judged, seed {seed}"][rows], one.wrong[rows])
                for seed in range(seeds)
            ],
            axis=0,
        )
    return plain


def intervals(
    found: Sequence[Predicted], seeds: int, resamples: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the mean over runs of each method's measures, and resamples of it, (resamples, 3)."""
    value = _mean([by_method(one, seeds) for one in found])
    rng = np.random.default_rng(0)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in value}
    groups = []
    for one in found:
        _, at = np.unique(one.images, return_inverse=True)
        order = np.argsort(at, kind="stable")
        groups.append(np.split(order, np.cumsum(np.bincount(at))[:-1]))
    for _ in range(resamples):
        sampled = []
        for one, rows in zip(found, groups, strict=True):
            chosen = rng.integers(len(rows), size=len(rows))
            sampled.append(_measured(one, seeds, np.concatenate([rows[i] for i in chosen])))
        for name, value_drawn in _mean(sampled).items():
            drawn[name].append(value_drawn)
    return value, {name: np.array(rows) for name, rows in drawn.items()}


def _mean(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.mean([row[name] for row in rows], axis=0) for name in rows[0]}


def report(found: Sequence[Predicted], seeds: int, resamples: int) -> None:
    """Print the tables."""
    value, drawn = intervals(found, seeds, resamples)
    print("\n| method | AUROC | Brier | log loss |\n|---|---|---|---|")
    for name, row in value.items():
        low, high = np.percentile(drawn[name], [2.5, 97.5], axis=0)
        cells = [f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in zip(row, low, high, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| network minus | with judged | AUROC | Brier | log loss |\n|---|---|---|---|---|")
    for base in [name for name in value if not name.startswith("network")]:
        for history in HISTORIES:
            name = f"network, {history} judged"
            low, high = np.percentile(drawn[name] - drawn[base], [2.5, 97.5], axis=0)
            cells = [
                f"{v:+.4f} [{a:+.4f}, {b:+.4f}]"
                for v, a, b in zip(value[name] - value[base], low, high, strict=True)
            ]
            print(f"| {base} | {history} | {' | '.join(cells)} |")
    print("\n| run | wrong | " + " | ".join(value) + " |\n|---|---|" + "---|" * len(value))
    for one in found:
        rows = by_method(one, seeds)
        print(
            f"| {one.run} | {one.wrong.mean():.3f} | "
            + " | ".join(f"{m[0]:.3f} / {m[1]:.4f} / {m[2]:.4f}" for m in rows.values())
            + " |"
        )
    print("\n| network, mentions | mean risk | wrong |\n|---|---|---|")
    for history in (0, HELD):
        risk = np.concatenate([one.risk[f"network, {history} judged, seed 0"] for one in found])
        for part in reliability(risk, np.concatenate([one.wrong for one in found])):
            print(f"| {history} judged, {part.mentions} | {part.risk:.3f} | {part.wrong:.3f} |")


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument(
        "--keep", type=Path, required=True, help="folder for the predictions, a file for each model"
    )
    parser.add_argument("--only", help="evaluate this model and print nothing")
    given = parser.parse_args()
    runs, vocabulary = read()
    for model in sorted({run.model for run in runs}):
        path = given.keep / f"{model}.npz"
        if not path.exists() and given.only in (None, model):
            save(evaluate(runs, vocabulary, given.seeds, model), path)
    if given.only is None:
        report(
            [one for path in sorted(given.keep.glob("*.npz")) for one in load(path)],
            given.seeds,
            given.resamples,
        )


def save(found: Sequence[Predicted], path: Path) -> None:
    """Keep predictions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for one in found:
        arrays |= {f"{one.run}|images": one.images, f"{one.run}|wrong": one.wrong}
        arrays |= {f"{one.run}|risk|{name}": risk for name, risk in one.risk.items()}
    np.savez_compressed(path, **arrays)


def load(path: Path) -> list[Predicted]:
    """Return kept predictions."""
    with np.load(path) as kept:
        names = sorted({key.split("|")[0] for key in kept})
        return [
            Predicted(
                name,
                kept[f"{name}|images"],
                kept[f"{name}|wrong"],
                {k.split("|", 2)[2]: kept[k] for k in kept if k.startswith(f"{name}|risk|")},
            )
            for name in names
        ]


if __name__ == "__main__":
    main()
