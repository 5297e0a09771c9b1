"""THRONE, compared with the numbers of the reference program, results computed by hand, and a naive twin."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.judges.votes import decide, is_yes
from eidolon.scorers.metrics.throne import MEASURES, Throne, VotedImage

REFERENCE_NAMES = {"precision": "P", "recall": "R", "f1": "F1", "f05": "F0_5"}


def image(image_id: int, votes: list[int], truth: list[int]) -> VotedImage:
    return VotedImage(image_id, np.array(votes, dtype=np.int64), np.array(truth, dtype=bool))


def compute(metric: Throne, samples: list[VotedImage]) -> dict[str, float]:
    values = metric.compute(metric.statistics(samples).sum(axis=0))
    return {name: float(value) for name, value in values.items()}


def f_beta(p: float, r: float, beta: float) -> float:
    bottom = beta**2 * p + r
    return (1 + beta**2) * p * r / bottom if bottom else math.nan


def naive(
    samples: list[VotedImage], mode: str, threshold: int, voters: int, categories: int
) -> dict[str, float]:
    """THRONE by its definition, with sets and loops."""
    pairs = []
    for s in samples:
        votes = s.votes.tolist()
        ignored = {c for c in range(categories) if voters - threshold < votes[c] < threshold}
        predicted = {c for c in range(categories) if votes[c] >= threshold}
        pairs.append((predicted, {c for c in range(categories) if s.truth[c]} - ignored))

    def measures(tp: int, predicted: int, true: int) -> list[float]:
        p = tp / predicted if predicted else math.nan
        r = tp / true if true else math.nan
        return [p, r, f_beta(p, r, 1), f_beta(p, r, 0.5)]

    per_category = [
        measures(
            sum(c in p and c in t for p, t in pairs),
            sum(c in p for p, _ in pairs),
            sum(c in t for _, t in pairs),
        )
        for c in range(categories)
    ]
    per_image = [measures(len(p & t), len(p), len(t)) for p, t in pairs]
    if mode == "fixed":
        per_category = [[0 if math.isnan(v) else v for v in row] for row in per_category]
        per_image = [[0 if math.isnan(v) else v for v in row] for row in per_image]
    else:
        per_image = [
            [0, 0, math.nan, math.nan] if not p & t else row
            for (p, t), row in zip(pairs, per_image, strict=True)
        ]
    found = {}
    for level, rows in (("classwise", per_category), ("image", per_image)):
        for name, column in zip(MEASURES, zip(*rows, strict=True) if rows else [()] * 4, strict=True):
            defined = [v for v in column if not math.isnan(v)]
            found[f"{level}_{name}"] = sum(defined) / len(defined) if defined else math.nan
    return found


@st.composite
def voted(draw: st.DrawFn) -> tuple[list[VotedImage], int, int, int]:
    voters, categories = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    threshold = draw(st.integers(voters // 2 + 1, voters))
    cell = st.lists(st.integers(0, voters), min_size=categories, max_size=categories)
    true = st.lists(st.integers(0, 1), min_size=categories, max_size=categories)
    rows = draw(st.lists(st.tuples(cell, true), max_size=6))
    return [image(i, votes, truth) for i, (votes, truth) in enumerate(rows)], threshold, voters, categories


def read_images(folder: Path, names: list[str]) -> tuple[list[VotedImage], list[str]]:
    """Read a folder of reference inputs, without the code under test."""
    document = json.loads((folder / "coco_annotations.json").read_text())
    categories = sorted(document["categories"], key=lambda category: category["id"])
    place = {category["id"]: i for i, category in enumerate(categories)}
    truth = {entry["id"]: [0] * len(categories) for entry in document["images"]}
    for annotation in document["annotations"]:
        truth[annotation["image_id"]][place[annotation["category_id"]]] = 1
    votes = {image_id: [0] * len(categories) for image_id in truth}
    for name in names:
        answers = json.loads((folder / "judge_answers" / f"{name}.json").read_text())
        for image_id in truth:
            for position, answer in enumerate(answers[str(image_id)]):
                votes[image_id][position % len(categories)] += is_yes(answer)
    samples = [image(image_id, votes[image_id], truth[image_id]) for image_id in truth]
    return samples, [category["name"] for category in categories]


def main_case(root: Path) -> tuple[list[VotedImage], list[str], dict[str, Any]]:
    names = ["judge_small", "judge_medium", "judge_large"]
    expected = json.loads((root / "expected" / "throne.json").read_text())["thresholds"]
    return *read_images(root / "throne", names), expected


def edge_case(root: Path) -> tuple[list[VotedImage], list[str], dict[str, Any]]:
    expected = json.loads((root / "expected" / "throne_edge_cases.json").read_text())
    return *read_images(root / "throne" / "edge_cases", ["judge_1", "judge_2", "judge_3"]), expected


@pytest.mark.parametrize("threshold", [5, 8, 9])
@pytest.mark.parametrize("case", [main_case, edge_case])
def test_equals_the_reference_program(reference_data: Path, case: Any, threshold: int) -> None:
    samples, names, expected = case(reference_data)
    metric = Throne("compat", threshold, 9, len(names))
    values = compute(metric, samples)
    for level, theirs in (("classwise", "classwise"), ("image", "micro")):
        for name, short in REFERENCE_NAMES.items():
            for kind in ("reference_float32", "recomputed_float64"):
                wanted = expected[str(threshold)][theirs][kind][short]
                assert values[f"{level}_{name}"] == pytest.approx(wanted, abs=1e-6)
    counts = metric.category_statistics(samples).sum(axis=0).reshape(len(names), 3).astype(int).tolist()
    assert dict(zip(names, counts, strict=True)) == expected[str(threshold)]["classwise"]["class_counts"]


@pytest.mark.parametrize("threshold", [5, 8, 9])
def test_equals_the_reference_image_by_image(reference_data: Path, threshold: int) -> None:
    samples, names, _ = main_case(reference_data)
    by_id = {sample.image_id: sample for sample in samples}
    path = reference_data / "expected" / "throne_per_image" / f"threshold_{threshold}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == len(samples)
    metric = Throne("compat", threshold, 9, len(names))
    ordered = [by_id[row["image_id"]] for row in rows]
    cells, measures = metric.cells(ordered), metric.image_measures(ordered)
    for i, row in enumerate(rows):
        assert {names[c] for c in np.flatnonzero(cells.predicted[i])} == set(row["predicted"])
        assert {names[c] for c in np.flatnonzero(cells.ignored[i])} == set(row["disqualified"])
        assert int(cells.truth[i].sum()) == row["n_gt_scored"]
        for name, short in REFERENCE_NAMES.items():
            wanted = math.nan if row[short] is None else row[short]
            assert measures[name][i] == pytest.approx(wanted, abs=1e-12, nan_ok=True)


HAND = [
    image(1, [9, 9, 0, 4], [1, 0, 0, 1]),
    image(2, [9, 0, 0, 0], [1, 1, 0, 0]),
    image(3, [0, 9, 0, 0], [0] * 4),
]
"""The example of docs/reference/metrics/throne.md: dog, cat, car, cup; the first image's cup is ignored at k = 9."""


def test_worked_by_hand() -> None:
    """Cells: dog is right in 2 of 2 and both are found, cat is never right, car is never predicted, the cup is
    ignored."""
    compat = compute(Throne("compat", 9, 9, 4), HAND)
    assert compat == pytest.approx(
        {
            "classwise_precision": (1 + 0) / 2,
            "classwise_recall": (1 + 0) / 2,
            "classwise_f1": 1,
            "classwise_f05": 1,
            "image_precision": (1 / 2 + 1 + 0) / 3,
            "image_recall": (1 + 1 / 2 + 0) / 3,
            "image_f1": (2 / 3 + 2 / 3) / 2,
            "image_f05": (5 / 9 + 5 / 6) / 2,
        }
    )
    fixed = compute(Throne("fixed", 9, 9, 4), HAND)
    assert fixed == pytest.approx(
        {
            "classwise_precision": 1 / 4,
            "classwise_recall": 1 / 4,
            "classwise_f1": 1 / 4,
            "classwise_f05": 1 / 4,
            "image_precision": 1 / 2,
            "image_recall": 1 / 2,
            "image_f1": (2 / 3 + 2 / 3) / 3,
            "image_f05": (5 / 9 + 5 / 6) / 3,
        }
    )


def test_the_trap_that_fixed_closes() -> None:
    """A category that is always hallucinated raises the mean F of `compat`, and lowers that of `fixed`."""
    honest = [image(i, [9 if i else 0, 9 if i > 1 else 0], [1, i > 1]) for i in range(4)]
    # The second category is now predicted where it is false, and missed where it is true.
    inventing = [image(i, [9 if i else 0, 0 if i > 1 else 9], [1, i > 1]) for i in range(4)]
    for mode, sign in (("compat", 1), ("fixed", -1)):
        metric = Throne(mode, 9, 9, 2)
        weak = [image(i, [9 if i else 0, 9 if i == 3 else 0], [1, i > 1]) for i in range(4)]
        change = compute(metric, inventing)["classwise_f1"] - compute(metric, weak)["classwise_f1"]
        assert change * sign > 0
        assert compute(metric, honest)["classwise_f1"] > 0


@pytest.mark.parametrize(
    ("answer", "vote"),
    [("yes", 1), ("Yes", 1), (" yes", 1), ("YES\n", 1), ("yes.", 0), ("yes, it is", 0), ("no", 0), ("", 0)],
)
def test_what_is_a_vote(answer: str, vote: int) -> None:
    assert is_yes(answer) == vote


@pytest.mark.parametrize(("threshold", "ignored"), [(9, range(1, 9)), (8, range(2, 8)), (5, range(0))])
def test_which_votes_are_ignored(threshold: int, ignored: range) -> None:
    votes = np.arange(10)[np.newaxis]
    cells = decide(votes, np.ones((1, 10), dtype=bool), voters=9, threshold=threshold)
    assert np.flatnonzero(cells.ignored).tolist() == list(ignored)
    assert np.flatnonzero(cells.predicted).tolist() == list(range(threshold, 10))
    assert not (cells.truth & cells.ignored).any()


@given(voted(), st.sampled_from(["compat", "fixed"]))
def test_equals_its_naive_twin(case: tuple[list[VotedImage], int, int, int], mode: str) -> None:
    samples, threshold, voters, categories = case
    got = compute(Throne(mode, threshold, voters, categories), samples)
    wanted = naive(samples, mode, threshold, voters, categories)
    if mode == "fixed" and not samples:
        wanted |= {name: math.nan for name in wanted if name.startswith("image")}
    assert got == pytest.approx(wanted, nan_ok=True, rel=1e-12)


@given(voted(), st.sampled_from(["compat", "fixed"]), st.randoms(use_true_random=False))
def test_order_and_duplication_change_nothing(
    case: tuple[list[VotedImage], int, int, int], mode: str, random: Any
) -> None:
    samples, threshold, voters, categories = case
    metric = Throne(mode, threshold, voters, categories)
    shuffled = random.sample(samples, len(samples))
    assert compute(metric, shuffled) == pytest.approx(compute(metric, samples), nan_ok=True, rel=1e-12)
    assert compute(metric, samples * 2) == pytest.approx(compute(metric, samples), nan_ok=True, rel=1e-12)


@given(voted())
def test_all_ignored_leaves_nothing(case: tuple[list[VotedImage], int, int, int]) -> None:
    samples, _, _, categories = case
    undecided = [image(i, [1] * categories, s.truth.astype(int).tolist()) for i, s in enumerate(samples)]
    values = compute(Throne("compat", 9, 9, categories), undecided)
    assert all(math.isnan(values[f"classwise_{name}"]) for name in MEASURES)
    assert math.isnan(values["image_f1"])
    assert values["image_precision"] == 0 or not samples
    fixed = compute(Throne("fixed", 9, 9, categories), undecided)
    assert all(value == 0 or math.isnan(value) for value in fixed.values())


def test_refuses_thresholds_and_modes_that_mean_nothing() -> None:
    with pytest.raises(UserError, match=r"--threshold 4: of 9 votes it must be from 5"):
        Throne("compat", 4, 9, 1)
    with pytest.raises(UserError, match="to 9"):
        Throne("compat", 10, 9, 1)
    with pytest.raises(UserError, match="did you mean 'compat'"):
        Throne("compatible", 9, 9, 1)
