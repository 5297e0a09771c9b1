"""Judging the text that a response gives, and not what surrounds it.

Every response is judged here, so that all judges read the same text and all offsets are those of the response.
"""

from collections.abc import Sequence

from eidolon.scorers.core.edits import edited_response, place_in_response
from eidolon.scorers.core.judge import Judge, RawTextJudge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.text.answer import TextRules, edits_of
from eidolon.scorers.text.last_sentence import LastSentence


def text_rules(judge: Judge, last_sentence: LastSentence = "keep") -> TextRules:
    """Return the rules for the text that a judge is handed."""
    raw = isinstance(judge, RawTextJudge) and judge.reads_raw_text
    return TextRules("raw" if raw else "clean", last_sentence)


def judge_texts(
    judge: Judge, responses: Sequence[Response], rules: TextRules | None = None
) -> list[Judgement]:
    """Return one judgement for each response, in order, with offsets in the response. Verdicts are not set yet.

    `rules` are by default those of `text_rules`.
    """
    rules = text_rules(judge) if rules is None else rules
    edits = [edits_of(response, rules) for response in responses]
    texts = [edited_response(response, found) for response, found in zip(responses, edits, strict=True)]
    return [
        place_in_response(judgement, response, found)
        for judgement, response, found in zip(judge.judge(texts), responses, edits, strict=True)
    ]
