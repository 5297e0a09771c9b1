"""Records: copies, and lines of them."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.records import _values, line_records
from eidolon.scorers.core.scores import Family, Score
from eidolon.scorers.core.types import Mention, Record

MENTION = Mention(category="dog", text="puppy", start=2, end=7, word=1, votes={"a/b": 1})
FAMILY = Family.model_validate({"recall": Score(value=0.5, ci=(0.4, 0.6), n=9, higher_is_better=True)})


@pytest.mark.parametrize(
    ("record", "update"),
    [
        (MENTION, {}),
        (MENTION, {"verdict": "grounded"}),
        (MENTION, {"category": "cat", "end": 8}),
        (MENTION, {"votes": {"a/b": 0}, "match": "dog"}),
        (FAMILY, {}),
        (FAMILY, {"recall": Score(value=0.7, ci=None, n=9, higher_is_better=True)}),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_is_that_of_pydantic(record: Record, update: dict[str, object], deep: bool) -> None:
    ours = record.model_copy(update=update, deep=deep)
    theirs = BaseModel.model_copy(record, update=update, deep=deep)
    assert ours == theirs
    assert ours.model_fields_set == theirs.model_fields_set
    assert ours.model_extra == theirs.model_extra
    assert ours.model_dump_json() == theirs.model_dump_json()


def test_a_changed_copy_leaves_the_record_alone() -> None:
    before = MENTION.model_dump_json()
    changed = MENTION.model_copy(update={"verdict": "grounded"})
    assert (changed.verdict, MENTION.verdict) == ("grounded", None)
    assert "verdict" in changed.model_fields_set
    assert "verdict" not in MENTION.model_fields_set
    assert MENTION.model_dump_json() == before


@pytest.mark.parametrize(
    "line", ['{"a": 1}', ' {"a": 1}\t', '{"a": 1} {"b": {}}', '{"a": 1},{"b": 2}', '{"a": 1},', "", "  "]
)
def test_the_records_of_a_line_are_its_values(line: str) -> None:
    found = line_records(line, 3, Path("x.jsonl"))
    assert [placed.row for placed in found] == [value for _, value in _values(line.strip())]
    assert {placed.place for placed in found} <= {"x.jsonl:3"}
    assert {placed.spot for placed in found} <= {"line 3"}


@pytest.mark.parametrize(
    ("line", "told"),
    [('{"a": ', "is not valid JSON"), ('{"a": 1} x', "is not valid JSON"), ("[1]", "expected a JSON")],
)
def test_a_line_of_something_else_is_one_message(line: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        line_records(line, 3, Path("x.jsonl"))
