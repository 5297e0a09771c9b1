"""Training of the boosted trees with scikit-learn, and their conversion to `scorers.risk.trees`."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.risk.described import Described
from eidolon.scorers.risk.trees import Trees, category_prior, tree_features

ITERATIONS, RATE, LEAVES, L2 = 150, 0.06, 15, 1.0


def train_trees(described: Sequence[Described], vocabulary: int) -> Trees:
    """Return the trees of judged responses. Mentions without truth are left out.

    Raises:
        ValueError: the mentions are all right, or all wrong.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    prior = category_prior(described, vocabulary)
    rows = np.concatenate([tree_features(one, prior)[one.known] for one in described])
    wrong = np.concatenate([one.wrong[one.known] for one in described])
    if wrong.min(initial=1) == wrong.max(initial=0):
        raise ValueError("the mentions are all right, or all wrong: there is nothing to learn")
    model = HistGradientBoostingClassifier(
        max_iter=ITERATIONS, learning_rate=RATE, max_leaf_nodes=LEAVES, l2_regularization=L2, random_state=0
    ).fit(rows, wrong)
    tables = [predictors[0].nodes for predictors in model._predictors]
    sizes = np.cumsum([0, *(len(table) for table in tables)])
    nodes = np.concatenate(tables)
    offset = np.repeat(sizes[:-1], np.diff(sizes))
    own, leaf = np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
    return Trees(
        feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        left=np.where(leaf, own, nodes["left"] + offset).astype(np.int64),
        right=np.where(leaf, own, nodes["right"] + offset).astype(np.int64),
        value=np.where(leaf, nodes["value"], 0.0),
        roots=sizes[:-1].astype(np.int64),
        depth=int(nodes["depth"].max()),
        start=float(np.ravel(model._baseline_prediction)[0]),
        prior=prior,
    )
