"""Retention of models with known memory, and its numbers compared with a twin that counts by hand."""

import math
import random
from collections.abc import Callable
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.retention.measure import LEAST_IMAGES, RetentionAtLength, RetentionFinding, measure, pair
from eidolon.scorers.retention.records import CONDITIONS, AnsweredContext, YesNoAnswer

LENGTHS = (16, 64, 256)
IMAGES = 40
Mind = Callable[[str, bool, int, int], float]
"""Returns by how many nats yes is likelier, from the kind of question, the truth, the tokens since the image or the
fact, and the number of all tokens."""


def hold(mind: Mind, images: int = IMAGES) -> list[AnsweredContext]:
    """Return the records of such a model: each context has two objects and the stated fact."""
    found = []
    for image in range(images):
        for number, (condition, n) in enumerate([(None, 0), *((c, n) for c in CONDITIONS for n in LENGTHS)]):
            answers = []
            for kind, about, truth in (
                ("object", "cup", True),
                ("object", "car", False),
                ("text", "maple", True),
                ("text", "comet", False),
            ):
                if condition == "before" and kind == "text":
                    continue
                margin = mind(kind, truth, 0 if condition == "before" else n, n)
                answers.append(
                    YesNoAnswer(
                        kind=kind,  # type: ignore[arg-type]
                        about=about,
                        truth=truth,
                        log_yes=-math.log1p(math.exp(-margin)),
                        log_no=-math.log1p(math.exp(margin)),
                    )
                )
            found.append(
                AnsweredContext(
                    sample_id=f"s{image}",
                    generation=number,
                    image_id=image,
                    condition=condition,  # type: ignore[arg-type]
                    n=n,
                    answers=tuple(answers),
                )
            )
    return found


def right(truth: bool) -> float:
    return 3.0 if truth else -3.0


def remembers(tokens: int) -> Mind:
    """Knows the image for so many tokens, then says no. It always knows the stated fact."""
    return lambda kind, truth, far, n: right(truth) if kind == "text" or far <= tokens else -1.0


def falls_silent(tokens: int) -> Mind:
    """Answers no to every question beyond a length."""
    return lambda kind, truth, far, n: right(truth) if n <= tokens else -1.0


def blind(kind: str, truth: bool, far: int, n: int) -> float:
    """Guesses from a prior that is independent of the image."""
    return right(truth) if kind == "text" else 0.7


def says_yes(kind: str, truth: bool, far: int, n: int) -> float:
    return 2.0


def without_the_fact(kind: str, truth: bool, far: int, n: int) -> float:
    """Forgets at 64 tokens, and never knows the fact."""
    return 1.0 if kind == "text" else right(truth) if far < 64 else -1.0


def never_knows_the_fact_and_falls_silent(kind: str, truth: bool, far: int, n: int) -> float:
    """Never knows the fact, and answers nothing beyond 64 tokens, wherever they are."""
    return 1.0 if kind == "text" else right(truth) if n <= 64 else -1.0


BETWEEN = ("own", "filler", "other")


def found(
    mind: Mind,
) -> tuple[dict[tuple[str, str, int], RetentionAtLength], dict[tuple[str, int], RetentionFinding]]:
    measured = measure(hold(mind), resamples=200)
    points = {(p.condition, p.series, p.n): p for p in measured.points}
    return points, {(f.condition, f.n): f for f in measured.findings}


@pytest.mark.parametrize("condition", BETWEEN)
def test_a_model_that_remembers_so_many_tokens(condition: str) -> None:
    points, findings = found(remembers(64))
    for n in LENGTHS:
        kept = points[condition, "unnamed", n].retention
        expected = 1.0 if n <= 64 else 0.0
        assert kept.value == expected
        assert kept.ci == (expected, expected)
        assert points[condition, "text", n].retention.value == 1.0
        assert findings[condition, n].verdict == ("no fall seen" if n <= 64 else "forgot the image")
    assert points["before", "unnamed", 256].retention.value == 1.0
    assert findings[condition, 256].image_minus_text.value == -1.0
    assert findings[condition, 256].image_minus_before.value == -1.0


def test_a_model_that_cannot_answer_any_more_has_not_forgotten() -> None:
    points, findings = found(falls_silent(64))
    assert points["filler", "unnamed", 256].retention.value == 0.0
    assert points["filler", "text", 256].retention.value == 0.0
    assert findings["filler", 64].verdict == "no fall seen"
    assert findings["filler", 256].verdict == "cannot answer at this length"


@pytest.mark.parametrize("mind", [blind, says_yes])
def test_a_model_that_never_knew_has_nothing_to_forget(mind: Mind) -> None:
    points, findings = found(mind)
    for n in LENGTHS:
        point = points["own", "unnamed", n]
        assert point.accuracy.value == 0.5
        assert point.yes_rate.value == 1.0
        assert point.retention.value is None
        assert "not surely above" in (point.reason or "")
        assert findings["own", n].verdict == "not measured"


def test_where_the_fact_is_beyond_a_model_the_place_of_the_text_tells() -> None:
    points, findings = found(without_the_fact)
    assert points["own", "text", 64].reason is not None
    assert points["own", "unnamed", 64].retention.value == 0.0
    assert findings["own", 64].verdict == "forgot the image"
    assert findings["own", 64].image_minus_text.value is None
    _, findings = found(never_knows_the_fact_and_falls_silent)
    assert findings["own", 64].verdict == "no fall seen"
    assert findings["own", 256].verdict == "cannot answer at this length"


def test_without_a_control_the_cause_is_open() -> None:
    held = [context for context in hold(without_the_fact) if context.condition != "before"]
    findings = {(f.condition, f.n): f for f in measure(held, resamples=200).findings}
    assert findings["own", 64].verdict == "fell, cause open"
    assert "no control is usable" in findings["own", 64].reason


def test_few_images_have_no_retention() -> None:
    measured = measure(hold(remembers(64), images=LEAST_IMAGES - 1), resamples=50)
    assert all(point.retention.value is None for point in measured.points)
    assert {finding.verdict for finding in measured.findings} == {"not measured"}


def test_a_question_that_was_not_put_at_0_is_an_error() -> None:
    with pytest.raises(ValueError, match="no question about"):
        pair(context for context in hold(remembers(64), 1) if context.condition is not None)


@given(st.integers(0, 2**32))
def test_the_numbers_are_those_counted_by_hand(seed: int) -> None:
    rng = random.Random(seed)
    noise: dict[tuple[str, bool, int], list[float]] = {}

    def mind(kind: str, truth: bool, far: int, n: int) -> float:
        margin = rng.gauss(1.5 if truth else -1.5, 2 + n / 100)
        noise.setdefault((kind, truth, n), []).append(margin)
        return margin

    held = hold(mind, images=12)
    points = measure(held, resamples=0).points
    for point in points:
        contexts = [c for c in held if (c.condition, c.n) == (point.condition, point.n)]
        kind = "text" if point.series == "text" else "object"
        signed, signed_0, said_yes = [], [], []
        for context in contexts:
            (start,) = (c for c in held if c.condition is None and c.image_id == context.image_id)
            for answer in context.answers:
                if answer.kind != kind:
                    continue
                (first,) = (a for a in start.answers if a.about == answer.about)
                sign = 1 if answer.truth else -1
                signed.append(sign * (answer.log_yes - answer.log_no))
                signed_0.append(sign * (first.log_yes - first.log_no))
                said_yes.append(answer.log_yes > answer.log_no)
        accuracy, accuracy_0 = (fmean(m > 0 for m in margins) for margins in (signed, signed_0))
        assert point.accuracy.value == pytest.approx(accuracy)
        assert point.accuracy_at_0.value == pytest.approx(accuracy_0)
        assert point.margin.value == pytest.approx(fmean(signed))
        assert point.yes_rate.value == pytest.approx(fmean(said_yes))
        if point.retention.value is None:
            assert 2 * accuracy_0 - 1 <= 0.2 + 1e-9
        else:
            assert point.retention.value == pytest.approx((2 * accuracy - 1) / (2 * accuracy_0 - 1))
            assert point.retention_margin.value == pytest.approx(fmean(signed) / fmean(signed_0))


def test_intervals_are_over_images() -> None:
    """Two answers about an image that always agree give no more information than one: the interval is over images."""
    rng = random.Random(3)
    luck = {(image, n): rng.random() < 0.7 for image in range(IMAGES) for n in LENGTHS}
    held = []
    for context in hold(remembers(10**6)):
        answers = tuple(
            answer
            if context.condition is None or luck[int(context.image_id), context.n]
            else answer.model_copy(update={"log_yes": answer.log_no, "log_no": answer.log_yes})
            for answer in context.answers
        )
        held.append(context.model_copy(update={"answers": answers}))
    point = next(p for p in measure(held).points if (p.condition, p.series, p.n) == ("own", "unnamed", 64))
    share = fmean(luck[image, 64] for image in range(IMAGES))
    assert point.accuracy.value == pytest.approx(share)
    assert point.accuracy.ci is not None
    width = point.accuracy.ci[1] - point.accuracy.ci[0]
    assert width == pytest.approx(2 * 1.96 * math.sqrt(share * (1 - share) / IMAGES), rel=0.15)
