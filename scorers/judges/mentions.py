"""Mentions from spans of a response, and judgements from mentions."""

from bisect import bisect_right
from collections.abc import Callable, Iterable

from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.text.judgeability import classify

NO_RESPONSE = "no response"
NOT_ENGLISH = "not English: the rules cannot read it"
_MENTION = Mention(
    category="", text="", start=0, end=0, word=0, token=None, verdict=None, votes=None, weight=None
)
"""What every mention is a copy of: a copy is made faster than a record is checked."""


class Places:
    """The words and tokens of one response, to find the one that a span begins in."""

    def __init__(self, response: Response) -> None:
        self._text = response.response or ""
        self._token_ends = response.token_ends
        # Words that begin before a place; usually the next place is after it.
        self._place = self._words = 0

    def mention(self, start: int, end: int, category: str, *, weight: float | None = None) -> Mention:
        """Return the mention of a category by the characters [start, end)."""
        return _MENTION.model_copy(
            update={
                "category": category,
                "text": self._text[start:end],
                "start": start,
                "end": end,
                "word": self._word(start),
                "token": self._token(start),
                "weight": weight,
            }
        )

    def _word(self, offset: int) -> int:
        """Return the index of the last word that begins at or before the character at `offset`; -1 before the first."""
        text, place = self._text, self._place
        if offset < place:
            place, self._words = 0, 0
        self._words += len(text[place : offset + 1].split())
        if 0 < place <= offset and not text[place - 1].isspace() and not text[place].isspace():
            self._words -= 1
        self._place = offset + 1
        return self._words - 1

    def _token(self, offset: int) -> int | None:
        """Return the index of the token whose text holds the character at `offset`."""
        if self._token_ends is None:
            return None
        index = bisect_right(self._token_ends, offset)
        return index if index < len(self._token_ends) else None


def judged(response: Response, mentions: Iterable[Mention] = (), *, unscored: str | None = None) -> Judgement:
    """Return the judgement of a response."""
    return Judgement(
        sample_id=response.sample_id,
        image_id=response.image_id,
        generation=response.generation,
        mentions=tuple(mentions),
        unscored=unscored,
    )


def readable_text(response: Response) -> str | None:
    """Return the text that rules of English can read, None where `judged_in_english` does not ask for one."""
    if response.response is None or response.error is not None or classify(response.response) != "ok":
        return None
    return response.response


def judged_in_english(response: Response, find: Callable[[str], Iterable[Mention]]) -> Judgement:
    """Return the judgement of a response by rules of English. `find` returns the mentions of its text.

    An empty response and a refusal mention nothing. A missing response, or one in another language, is unscored.
    """
    if response.response is None or response.error is not None:
        return judged(response, unscored=why_missing(response))
    kind = classify(response.response)
    if kind == "non_english":
        return judged(response, unscored=NOT_ENGLISH)
    return judged(response, find(response.response) if kind == "ok" else ())


def why_missing(response: Response) -> str:
    """Return why there is no response to judge."""
    return response.error or NO_RESPONSE
