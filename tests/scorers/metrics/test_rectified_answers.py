"""POPE's rates by an annotator's truth: the corrected ones against formulas written out, and how often they cover."""

import random
from collections.abc import Sequence
from statistics import covariance, fmean, variance

import pytest
from scipy.stats import t as student

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.metrics.rectified_answers import rectified_answers

ASKED = 4
"""Questions about each image."""
CORRECTED = ("accuracy", "precision", "recall", "f1")


def draw(seed: int, images: int) -> tuple[list[AnsweredQuestion], list[bool]]:
    """Return questions with an annotator's truth, which errs on one in seven, and the labels of people."""
    rng, questions, labels = random.Random(seed), [], []
    for image in range(images):
        for number in range(ASKED):
            label = number % 2 == 0
            truth = label != (rng.random() < (0.2 if label else 0.08))
            says = "yes" if rng.random() < (0.85 if label else 0.25) else "no"
            questions.append(AnsweredQuestion(f"{image}:{number}", f"i{image:04}", truth, says))
            labels.append(label)
    return questions, labels


def corrected(
    questions: Sequence[AnsweredQuestion], labels: Sequence[bool], labelled: int
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Return the prediction-powered rates and those of the labelled part alone."""
    known = [label if i < labelled * ASKED else None for i, label in enumerate(labels)]
    powered, alone = rectified_answers(questions, known, Pope("strict"), resamples=0)
    assert powered.settings == {
        "labelled_images": labelled,
        "other_images": len(questions) // ASKED - labelled,
    }
    return powered.metrics["pope"].quantities(), alone.metrics["pope"].quantities()


def rates_of(questions: Sequence[AnsweredQuestion], truths: Sequence[bool]) -> dict[str, float]:
    """Return the rates, counted one by one."""
    says = [question.answer == "yes" for question in questions]
    hits = sum(a and b for a, b in zip(says, truths, strict=True))
    right = sum(a == b for a, b in zip(says, truths, strict=True))
    return {
        "accuracy": right / len(says),
        "precision": hits / sum(says),
        "recall": hits / sum(truths),
        "f1": 2 * hits / (sum(says) + sum(truths)),
        "yes_rate": sum(says) / len(says),
    }


def right_by_image(questions: Sequence[AnsweredQuestion], truths: Sequence[bool]) -> list[float]:
    """Return the accuracy of each image."""
    right = [(q.answer == "yes") == truth for q, truth in zip(questions, truths, strict=True)]
    return [fmean(right[i : i + ASKED]) for i in range(0, len(right), ASKED)]


def test_accuracy_is_that_of_the_formulas_written_out() -> None:
    """Every image has as many questions, so that accuracy is a mean over images."""
    questions, labels = draw(3, 140)
    n, others = 40, 100
    here, there = questions[: n * ASKED], questions[n * ASKED :]
    a = right_by_image(here, labels[: n * ASKED])
    b = right_by_image(here, [q.truth for q in here])
    c = right_by_image(there, [q.truth for q in there])
    weight = min(1.0, max(0.0, covariance(a, b) / ((1 + n / others) * variance(b + c))))
    value = fmean(a) + weight * (fmean(c) - fmean(b))
    parts = [
        variance([x - weight * y for x, y in zip(a, b, strict=True)]) / n,
        weight**2 * variance(c) / others,
    ]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (others - 1))
    reach = student.ppf(0.975, freedom) * sum(parts) ** 0.5
    found, _ = corrected(questions, labels, n)
    assert found["accuracy"].value == pytest.approx(value)
    assert found["accuracy"].ci == pytest.approx((value - reach, value + reach))
    assert found["accuracy"].method == f"prediction-powered, weight {weight:.3f}"


def test_the_labelled_part_alone_and_the_yes_rate_are_counted() -> None:
    """Whether an answer is yes does not depend on the truth: its rate is that of all images."""
    questions, labels = draw(4, 90)
    found, alone = corrected(questions, labels, 30)
    counted = rates_of(questions[: 30 * ASKED], labels[: 30 * ASKED])
    for name, value in counted.items():
        assert alone[name].value == pytest.approx(value)
    assert found["yes_rate"].value == pytest.approx(rates_of(questions, labels)["yes_rate"])
    assert found["unparsed"].value == 0


def test_intervals_cover_the_true_rates_and_the_annotator_alone_is_off() -> None:
    """The true rates are those of many images."""
    true = rates_of(*draw(0, 20_000))
    covered = dict.fromkeys(CORRECTED, 0)
    runs = 200
    for seed in range(1, runs + 1):
        questions, labels = draw(seed, 240)
        found, _ = corrected(questions, labels, 60)
        for name in CORRECTED:
            ci = found[name].ci
            assert ci is not None
            covered[name] += ci[0] <= true[name] <= ci[1]
    assert all(0.91 <= count / runs <= 0.99 for count in covered.values()), covered
    questions, _ = draw(0, 2000)
    naive = rates_of(questions, [q.truth for q in questions])
    assert all(abs(naive[name] - true[name]) > 0.02 for name in ("accuracy", "precision"))


def test_too_few_labels_or_errors_leave_the_labelled_part() -> None:
    questions, labels = draw(5, 60)
    found, alone = corrected(questions, labels, 8)
    assert found["accuracy"].value == alone["accuracy"].value
    assert found["accuracy"].ci is None
    assert "it takes 10 labelled images" in (found["accuracy"].reason or "")
    found, alone = corrected(questions, [q.truth for q in questions], 30)
    assert found["accuracy"].value == alone["accuracy"].value
    assert "the annotator errs on 0 of its images" in (found["accuracy"].method or "")
    assert rectified_answers(questions, [None] * len(questions), Pope("strict")) == []
