"""Answers to yes/no questions as mentions of the object in the question."""

import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.yes_no import YesNoJudge

CATEGORIES = {"a": "dog", "b": "cat"}


def judge(policy: str, *answers: str | None, ends: tuple[int, ...] | None = None) -> list[Judgement]:
    responses = [
        Response(
            sample_id="a",
            image_id=1,
            response=answer,
            token_ends=ends,
            error="out of memory" if answer is None else None,
        )
        for answer in answers
    ]
    return list(YesNoJudge(CATEGORIES, policy).judge(responses))


def test_a_yes_names_the_object_and_nothing_else_does() -> None:
    yes, no, unread = judge("strict", "Yes.", "no", "Perhaps")
    (mention,) = yes.mentions
    assert (mention.category, mention.text, mention.start, mention.end, mention.word) == (
        "dog",
        "Yes.",
        0,
        4,
        0,
    )
    assert (mention.token, mention.verdict) == (None, None)
    assert no.mentions == unread.mentions == ()
    assert yes.unscored is no.unscored is unread.unscored is None


def test_an_empty_answer_is_what_the_policy_says() -> None:
    assert [len(judge(policy, "")[0].mentions) for policy in ("original", "lenient")] == [1, 0]


def test_the_token_is_the_first_that_has_text() -> None:
    assert judge("strict", "Yes", ends=(0, 3))[0].mentions[0].token == 1
    assert judge("original", "", ends=(0,))[0].mentions[0].token is None


def test_a_failure_is_unscored_with_its_reason() -> None:
    (failed,) = judge("original", None)
    assert (failed.unscored, failed.mentions) == ("out of memory", ())


def test_vocabulary_and_unknown_policy() -> None:
    assert YesNoJudge(CATEGORIES, "exact").vocabulary == ("cat", "dog")
    with pytest.raises(UserError, match="did you mean 'exact'"):
        YesNoJudge(CATEGORIES, "exat")
