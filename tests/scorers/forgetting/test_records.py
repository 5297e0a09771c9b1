"""Lines of `pdm.jsonl`: measurements are read back, and inconsistent lines are refused."""

import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import validate

from eidolon.scorers.core.types import Verdict
from eidolon.scorers.forgetting.fading import TokenSeries
from eidolon.scorers.forgetting.records import LETTERS, Dependence
from eidolon.scorers.forgetting.token_kinds import KINDS
from eidolon.scorers.json_schemas import path, schemas

DEPENDENCE = schemas()["dependence"]

tokens = st.tuples(
    st.floats(0, 1),
    st.floats(0, 50),
    st.sampled_from(KINDS),
    st.sampled_from([None, None, *get_args(Verdict)]),
    st.floats(-1, 50) | st.just(math.nan),
)


@given(st.lists(tokens, max_size=30))
def test_a_series_comes_back_from_its_line(
    found: list[tuple[float, float, str, Verdict | None, float]],
) -> None:
    hellinger, difference, kinds, verdicts, signal = zip(*found, strict=True) if found else ((),) * 5
    second = (np.array(hellinger) / 2, np.array(signal)) if found else (None, None)
    series = TokenSeries("i", np.array(hellinger), np.array(difference), kinds, verdicts, *second)  # type: ignore[arg-type]
    line = Dependence.of("s", 1, series)
    text = line.model_dump_json()
    validate(json.loads(text), DEPENDENCE)
    back = Dependence.model_validate_json(text)
    assert back == line
    assert (back.sample_id, back.generation, back.image_id) == ("s", 1, "i")
    again = back.series()
    assert (again.image_id, again.kinds, again.verdicts) == (series.image_id, series.kinds, series.verdicts)
    assert again.hellinger == pytest.approx(series.hellinger, rel=1e-5)
    assert again.difference == pytest.approx(series.difference, rel=1e-5)
    if found:
        assert again.beside == pytest.approx(second[0], rel=1e-5)
        assert again.signal == pytest.approx(signal, rel=1e-5, nan_ok=True)
    assert Dependence.of("s", 1, again) == line, "what was rounded once stays"


def test_every_kind_has_a_letter_of_its_own() -> None:
    assert len(set(LETTERS.values())) == len(KINDS)


def test_the_schema_that_ships_is_that_of_the_record() -> None:
    assert json.loads(path("dependence").read_text()) == schemas()["dependence"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"difference": [0.1]}, "every number for each of 2 tokens"),
        ({"kinds": "off"}, "every number for each of 2 tokens"),
        ({"verdicts": {"2": "grounded"}}, "every number for each of 2 tokens"),
        ({"verdicts": {"-1": "grounded"}}, "every number for each of 2 tokens"),
        ({"beside": [0.5, 0.1], "signal": [0.1]}, "every number for each of 2 tokens"),
        ({"kinds": "ox"}, "unknown kind of token 'x'"),
    ],
)
def test_a_line_that_does_not_fit_together_is_refused(change: dict[str, object], told: str) -> None:
    line = {
        "sample_id": "s", "generation": 0, "image_id": 1, "hellinger": [0.5, 0.1], "difference": [2, 0.3],
        "kinds": "of", "verdicts": {"0": "grounded"},
    }  # fmt: skip
    assert len(Dependence.model_validate_json(json.dumps(line)).series().kinds) == 2
    with pytest.raises(ValueError, match=told):
        Dependence.model_validate_json(json.dumps(line | change)).series()


def test_why_nothing_was_measured_stands_only_where_nothing_was() -> None:
    line = Dependence(sample_id="s", generation=0, image_id=1)
    assert "left_out" not in line.model_dump_json()
    lost = Dependence(sample_id="s", generation=0, image_id=1, left_out="no room", transient=True)
    assert json.loads(lost.model_dump_json())["transient"] is True
