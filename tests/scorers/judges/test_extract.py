"""Extraction by a language model: the frozen prompt, parsing, places, failures."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.language_model import Reply
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.extract import (
    BATCH,
    MAX_NEW_TOKENS,
    PROMPT,
    SCHEMA,
    ExtractJudge,
    parse_objects,
    place,
)
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.judges.mentions import NO_RESPONSE
from eidolon.scorers.judges.nouns import NounsJudge


class Scripted:
    """Gives scripted replies in order."""

    name = "fake"

    def __init__(self, *replies: str | None) -> None:
        self.replies = list(replies)
        self.calls: list[list[str]] = []

    def signature(self) -> str:
        return "fake#1"

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        assert (max_new_tokens, schema) == (MAX_NEW_TOKENS, SCHEMA)
        self.calls.append(list(prompts))
        taken = [self.replies.pop(0) for _ in prompts]
        return [Reply(None, "overloaded") if text is None else Reply(text) for text in taken]


def response(text: str | None, index: int = 1, **fields: object) -> Response:
    return Response.model_validate({"sample_id": str(index), "image_id": index, "response": text, **fields})


def extract(text: str, reply: str | None) -> Judgement:
    (judgement,) = ExtractJudge([Scripted(reply)]).judge([response(text)])
    return judgement


def test_the_prompt_is_frozen() -> None:
    assert PROMPT.count("{response}") == 1
    assert PROMPT.format(response="A {dog}.").endswith('{"objects": []}.\n\nDescription:\nA {dog}.')
    assert hashlib.sha256((PROMPT + json.dumps(SCHEMA)).encode()).hexdigest()[:16] == "c6d78263666d6bf3"


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ('{"objects": ["dog", "Fire-Hydrants", "dogs"]}', ["dog", "fire hydrant"]),
        ('```json\n{"objects": ["dog"]}\n```\nI hope that this helps.', ["dog"]),
        ('Sure {here}: {"objects": []} {"objects": ["cat"]}', []),
        ('{"a": 1} {"objects": ["cat"]}', ["cat"]),
        ('{"result": {"objects": ["cat"]}}', ["cat"]),
        ('["dog"]', None),
        ('{"objects": "dog"}', None),
        ('{"objects": ["dog", 2]}', None),
        ('{"objects": ["dog", " "]}', None),
        ('{"objects": ["dog"', None),
        ("{" * 2000, None),
        ('{"objects": ' * 5000, None),
        ("", None),
    ],
)
def test_replies(text: str, objects: list[str] | None) -> None:
    assert parse_objects(text) == objects


@given(st.lists(st.text(alphabet="abc xyz", min_size=1).filter(str.strip)), st.text(alphabet="ab`\n "))
def test_any_list_survives_whatever_is_around_it(names: list[str], around: str) -> None:
    found = parse_objects(around + json.dumps({"objects": names}) + around)
    assert found is not None
    assert len(found) == len(set(found)) <= len(names)
    assert bool(found) == bool(names)


def test_places() -> None:
    text = "Hot-dogs and a dog. The dogs run past 2 Boxes."
    mentions = place(["dog", "hot dog", "box", "zebra"], response(text))
    assert [(m.category, m.text, m.start, m.word, m.verdict) for m in mentions] == [
        ("hot dog", "Hot-dogs", 0, 0, None),
        ("dog", "dog", 15, 3, None),
        ("box", "Boxes", 40, 9, None),
        ("zebra", "", 0, 0, "ignored"),
    ]


def test_a_name_inside_a_longer_one_has_no_place() -> None:
    assert [(m.category, m.text) for m in place(["dog", "hot dog"], response("A hot dog."))] == [
        ("hot dog", "hot dog"),
        ("dog", ""),
    ]


@given(
    st.lists(st.sampled_from(["dog", "hot dog", "cat", "dog house", "tree"]), unique=True),
    st.text(alphabet="dogshtcae -.", max_size=30),
)
def test_every_object_has_one_mention_and_no_two_overlap(names: list[str], text: str) -> None:
    mentions = place(names, response(text))
    assert sorted(m.category for m in mentions) == sorted(names)
    placed = [m for m in mentions if m.text]
    assert all(a.end <= b.start for a, b in pairwise(placed))
    assert all(m.verdict == "ignored" and (m.start, m.end) == (0, 0) for m in mentions if not m.text)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (None, "fake: overloaded"),
        ("A dog, and a cat.", "fake: not {\"objects\": [strings]}: 'A dog, and a cat.'"),
        ('{"objects": [1]}', "fake: not {"),
    ],
)
def test_a_failed_reply_leaves_the_response_unscored(reply: str | None, reason: str) -> None:
    judgement = extract("A dog.", reply)
    assert judgement.mentions == ()
    assert judgement.unscored is not None
    assert judgement.unscored.startswith(reason)


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        (["first", "second"], "a placeholder in place of an object: 'first'"),
        (["dog", "object 1"], "a placeholder in place of an object: 'object 1'"),
        (["person"], "a placeholder in place of an object: 'person'"),
        (["tree", "dog", "sky", "grass"], "3 of 4 objects are not in the text, for example "),
        (["zebra"], "1 of 1 objects are not in the text, for example 'zebra'"),
    ],
)
def test_a_list_of_something_else_is_no_judgement(objects: list[str], reason: str) -> None:
    """A model that copies the example of the prompt once scored as perfect, because no object had a place."""
    judgement = extract("A dog beside the chair.", json.dumps({"objects": objects}))
    assert judgement.mentions == ()
    assert (judgement.unscored or "").startswith(f"fake: {reason}")


def test_a_word_of_the_prompt_that_the_text_has_is_an_object() -> None:
    judgement = extract("A person takes a picture of the dog.", '{"objects": ["person", "picture", "cat"]}')
    assert judgement.unscored is None
    assert [m.category for m in judgement.mentions if m.text] == ["person", "picture"]


def test_each_reply_goes_to_its_response() -> None:
    texts = [None if i % 7 == 0 else "" if i % 5 == 0 else f"A thing{i}." for i in range(2 * BATCH + 3)]
    model = Scripted(*(json.dumps({"objects": [f"thing{i}"]}) for i, text in enumerate(texts) if text))
    judgements = list(ExtractJudge([model]).judge(response(text, i) for i, text in enumerate(texts)))
    assert len(judgements) == len(texts)
    for i, (text, judgement) in enumerate(zip(texts, judgements, strict=True)):
        assert judgement.sample_id == str(i)
        assert [m.category for m in judgement.mentions] == ([f"thing{i}"] if text else [])
        assert judgement.unscored == (NO_RESPONSE if text is None else None)
    assert [len(call) for call in model.calls] == [sum(map(bool, texts[k : k + BATCH])) for k in (0, 64, 128)]


def test_verdicts_by_the_objects() -> None:
    judge = ExtractJudge([Scripted('{"objects": ["couch", "cat", "zebra"]}')])
    text = "A couch and a cat."
    (found,) = decide(judge, judge.judge([response(text)]), [Evidence(frozenset({"couch", "zebra"}))])
    assert [(m.category, m.verdict) for m in found.mentions] == [
        ("couch", "grounded"),
        ("cat", "hallucinated"),
        ("zebra", "ignored"),
    ]


def test_who_reads_the_captions() -> None:
    assert isinstance(ExtractJudge([Scripted()]).reader, NounsJudge)
    assert ExtractJudge([Scripted()], match="lm").reader is None


def test_exactly_one_model_and_the_signature() -> None:
    assert (
        ExtractJudge([Scripted()]).signature()
        == "extract(model=fake#1,match=names/2+coco80,concreteness=all,checks=1)"
    )
    for models in ([], [Scripted(), Scripted()]):
        with pytest.raises(UserError, match=f"exactly one language model, found {len(models)}"):
            ExtractJudge(models)
