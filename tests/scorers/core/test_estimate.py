"""Estimates: which fields a file holds, and what cannot be written."""

import math

import pytest
from pydantic import ValidationError

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Family


def test_a_file_holds_what_is_known():
    assert Estimate(value=0.5, ci=(0.4, 0.6)).model_dump() == {"value": 0.5, "ci": (0.4, 0.6)}
    assert Estimate(value=None, ci=None, n=3, reason="why", undefined_resamples=2).model_dump() == {
        "value": None,
        "ci": None,
        "n": 3,
        "higher_is_better": None,
        "reason": "why",
        "undefined_resamples": 2,
    }


def test_what_is_nan_is_null():
    assert Estimate.of(0.5, math.nan, math.nan) == Estimate(value=0.5, ci=None)
    assert Estimate.of(math.nan, math.nan, math.nan) == Estimate.undefined()
    assert Estimate.of(0.5, 0.25, 0.75).ci == (0.25, 0.75)
    with pytest.raises(ValidationError):
        Estimate(value=math.nan, ci=None)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=0.5, ci=(0.25, 0.75)), "0.500 [0.250, 0.750]"),
        (Estimate(value=0.5, ci=None), "0.500"),
        (Estimate.undefined("why"), "undefined (why)"),
        (Estimate.undefined(), "undefined"),
    ],
)
def test_is_printed_with_its_interval(estimate, text):
    assert str(estimate) == text


def test_scores_say_from_how_many_responses_a_number_was_computed():
    given = {"value": 0.5, "ci": None, "n": 3, "higher_is_better": True}
    assert Family.model_validate({"f1": given})["f1"].n == 3
    del given["n"], given["higher_is_better"]
    with pytest.raises(ValidationError, match="from how many responses"):
        Family.model_validate({"f1": given})
