"""The last sentence of a response, which a token limit may cut off."""

import re
from typing import Literal, TypeAlias, get_args

from eidolon.scorers.core.types import FinishReason
from eidolon.scorers.text.draft import Draft

LastSentence: TypeAlias = Literal["keep", "drop", "unfinished-only"]
"""What is done with it: nothing; it is left out; or it is left out if it is cut off."""

RULE = "last-sentence"
CHOICES: tuple[str, ...] = get_args(LastSentence)

_END = re.compile(r"[.!?\u3002\uff01\uff1f]+[\"'\u201d\u2019)\]*]*(?=\s|\Z)|\n\s*\n")
_FINISHED = re.compile(r"[.!?\u3002\uff01\uff1f\u2026:][\"'\u201d\u2019)\]*_`]*\s*\Z")
LONGEST_ABBREVIATION = 12
_ABBREVIATION = re.compile(r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|vs|etc|e\.g|i\.e|No|approx)\.\Z")


def cut_last_sentence(draft: Draft, choice: LastSentence, finish: FinishReason) -> None:
    """Leave out the last sentence as `choice` says. The only sentence of a response is kept.

    A response is cut off if the token limit stopped it. If nothing is known about its end, it is cut off if it does
    not end as a sentence does.
    """
    if choice == "keep" or (choice == "unfinished-only" and not is_unfinished(draft.text, finish)):
        return
    body = draft.text.rstrip()
    ends = [
        end
        for end in (match.end() for match in _END.finditer(body))
        if end < len(body) and not _ABBREVIATION.search(body[max(0, end - LONGEST_ABBREVIATION) : end])
    ]
    if ends:
        draft.replace([(ends[-1], len(draft.text), "")], RULE)


def is_unfinished(text: str, finish: FinishReason) -> bool:
    """Tell whether a response is cut off in its last sentence."""
    ended = _FINISHED.search(text) is not None
    return bool(text.strip()) and not ended and finish in ("length", "unknown")
