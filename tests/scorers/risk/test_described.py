import numpy as np
import pytest

from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.risk.described import Described, describe, judged_row, places
from eidolon.scorers.risk.trees import Trees, category_prior, tree_features

INDEX = {"cup": 0, "dog": 1, "bed": 2}


def mention(category: str, word: int, verdict: str | None) -> Mention:
    return Mention.model_validate(
        {
            "category": category,
            "text": category,
            "start": 4 * word,
            "end": 4 * word + 3,
            "word": word,
            "verdict": verdict,
        }
    )


def described() -> Described:
    response = Response(sample_id="a", image_id=1, response="dog red cup the dog bed")
    mentions = (
        mention("dog", 0, "grounded"),
        mention("cup", 2, "hallucinated"),
        mention("dog", 4, "grounded"),
        mention("bed", 5, "ignored"),
    )
    return describe(response, Judgement(sample_id="a", image_id=1, mentions=mentions), INDEX)


def test_first_mentions_with_their_truth() -> None:
    one = described()
    assert one.categories.tolist() == [1, 0, 2]
    assert one.words.tolist() == [0, 2, 5]
    assert one.length == 6
    np.testing.assert_equal(one.wrong, [0, 1, np.nan])


def test_rows_by_hand() -> None:
    one = described()
    assert places(one)[1].tolist() == pytest.approx([np.log(2), np.log(3) / 5, 2 / 6, np.log(7) / 5, 0])
    row = judged_row(one, np.array([0.25, 0.5, 0.9]), 3)
    # The bed has no truth and does not count.
    assert row.tolist() == pytest.approx([0.5, -0.25, 0, 0.25, 0.25 * 0.75 + 0.25, np.log(3), np.log(7) / 5])


def test_another_category_is_an_error() -> None:
    judgement = Judgement(sample_id="a", image_id=1, mentions=(mention("owl", 0, None),))
    with pytest.raises(KeyError):
        describe(Response(sample_id="a", image_id=1, response="owl"), judgement, INDEX)


def test_prior_is_pulled_to_the_mean() -> None:
    prior = category_prior([described()], 3)
    # One of two is wrong. With five mentions at 0.5: dog 2.5 of 6, cup 3.5 of 6, bed as the mean.
    shares = 1 / (1 + np.exp(-prior))
    assert shares.tolist() == pytest.approx([3.5 / 6, 2.5 / 6, 0.5])


def walk(trees: Trees, row: np.ndarray) -> float:
    """Follow each tree node by node."""
    total = trees.start
    for node in trees.roots.tolist():
        while trees.left[node] != node:
            goes_left = row[trees.feature[node]] <= trees.threshold[node]
            node = int(trees.left[node] if goes_left else trees.right[node])
        total += float(trees.value[node])
    return total


def test_trees_equal_a_walk() -> None:
    # A root on the rank with a leaf and a node on "dog was named", then a tree of one leaf.
    trees = Trees(
        feature=np.array([0, 0, 7, 0, 0, 0]),
        threshold=np.array([0.1, 0, 0.5, 0, 0, 0]),
        left=np.array([1, 1, 3, 3, 4, 5]),
        right=np.array([2, 1, 4, 3, 4, 5]),
        value=np.array([0, -2.0, 0, 0.5, 1.0, 0.25]),
        roots=np.array([0, 5]),
        depth=2,
        start=-1.0,
        prior=np.zeros(3),
    )
    rows = tree_features(described(), trees.prior)
    assert trees.of_rows(rows).tolist() == [walk(trees, row) for row in rows] == [-2.75, 0.25, 0.25]
