"""What only the answers of a finished run show."""

import pytest

from eidolon.benchmark.run.late_warnings import MAX_UNREADABLE, SAME_FOR, late_warnings
from eidolon.scorers.core.calibration import Calibration
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import Response


def scores(unreadable: float | None) -> Scores:
    votes = Calibration(
        voters=1,
        cells=80,
        threshold=1,
        ignored=0.0,
        judges={},
        yes_rate_by_format=(),
        pairwise_agreement=(),
        fleiss_kappa=None,
        unreadable=unreadable,
    )
    return Scores.model_construct(calibration=votes, metrics={})


def answers(*texts: str | None, prompt: str = "What is there?") -> list[Response]:
    return [
        Response(sample_id=str(i), image_id=i, prompt=prompt, response=text, error=None if text else "down")
        for i, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["A dog."] * SAME_FOR, 1),
        (["A dog.", " A  dog.\n"] * (SAME_FOR // 2), 1),
        (["A dog."] * SAME_FOR + [None], 1),
        (["A dog."] * SAME_FOR + ["A cat."], 0),
        (["A dog."] * (SAME_FOR - 1), 0),
        ([None] * SAME_FOR, 0),
        ([], 0),
    ],
)
def test_the_same_answer_to_every_picture(texts: list[str | None], expected: int) -> None:
    found = late_warnings((), scores(None), answers(*texts))
    assert len(found) == expected
    assert all("the same answer to every picture" in text and "'A dog.'" in text for text in found)


def test_one_picture_may_have_one_answer() -> None:
    same = [Response(sample_id=str(i), image_id=1, response="yes") for i in range(SAME_FOR)]
    assert late_warnings((), scores(None), same) == ()


def test_yes_to_every_question() -> None:
    asked = [
        r.model_copy(update={"prompt": f"Is there a {r.sample_id}?"}) for r in answers(*["Yes"] * SAME_FOR)
    ]
    (found,) = late_warnings((), scores(None), asked)
    assert f"to all {SAME_FOR} questions and every picture ({SAME_FOR} pictures): 'Yes'" in found


def test_answers_that_decide_nothing() -> None:
    (found,) = late_warnings((), scores(MAX_UNREADABLE + 0.01), [])
    assert found.startswith("11% of the judge's answers are neither yes nor no")
    assert late_warnings((), scores(MAX_UNREADABLE), []) == ()
    assert late_warnings(("judge x is unfit",), scores(None), []) == ("judge x is unfit",)
