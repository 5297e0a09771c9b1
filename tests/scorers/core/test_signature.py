"""The signature line: the order of its parts, its escapes, and that it can be read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.signature import OPTIONAL, PARTS, Signature, hashed, parse


def test_has_every_part_in_order():
    line = Signature(
        dataset=hashed("scenes", b"rows"),
        prompt=hashed("describe", "Describe this image in detail."),
        decoding="greedy",
        judge="lexicon(reading=careful-2,vocabulary=coco80)",
        policy="strict",
        n=500,
        resamples=2000,
        seed=0,
    ).line()
    assert re.fullmatch(
        r"dataset=scenes#[0-9a-f]{12}\|prompt=describe#[0-9a-f]{12}\|decoding=greedy"
        r"\|judge=lexicon\(reading=careful-2,vocabulary=coco80\)\|policy=strict\|n=500\|resamples=2000\|seed=0"
        r"\|eidolon=[^|]+",
        line,
    )
    assert parse(line)["judge"] == "lexicon(reading=careful-2,vocabulary=coco80)"


def test_fitted_measures_have_a_part_where_there_are_any():
    assert "|measures=given-knowledge:2|" in Signature(measures="given-knowledge:2").line()
    assert "measures" not in Signature().line()


def test_what_is_not_given_is_unknown():
    assert (
        Signature(n=0)
        .line()
        .startswith(
            "dataset=unknown|prompt=unknown|decoding=unknown|judge=unknown|policy=unknown|n=0|resamples=unknown|"
        )
    )
    assert parse(Signature().line())["eidolon"] == package_version()


@given(st.text(), st.text())
def test_any_value_stays_on_one_line_and_comes_back(dataset, prompt):
    given = Signature(dataset=dataset, prompt=prompt, n=3)
    assert len(given.line().splitlines()) == 1
    assert tuple(parse(given.line())) == tuple(part for part in PARTS if part not in OPTIONAL)
    assert parse(given.line()) == given.parts()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "expected 'dataset=…', found ''"),
        ("dataset=a|n=3", "expected 'prompt=…', found 'n=3'"),
        ("dataset=a|prompt=b", "2 parts where there are 9"),
        (Signature().line() + "|more=1", "10 parts where there are 9"),
    ],
)
def test_refuses_other_lines(line, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(line)


def test_is_data_that_is_stored_and_read_back():
    given = Signature(dataset="scenes#0123", n=4, seed=0)
    assert Signature.model_validate_json(given.model_dump_json()) == given
    assert given != given.model_copy(update={"n": 5})


def test_hashes_bytes_and_text_alike():
    assert hashed("a", "é") == hashed("a", "é".encode())
    assert hashed("a", "1") != hashed("a", "2")
