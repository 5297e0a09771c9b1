"""The lexicon judge: objects of a closed vocabulary, found by rules."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Protocol

from eidolon.scorers.errors import UserError, did_you_mean
from eidolon.scorers.judgeability import classify
from eidolon.scorers.lexicon import Lexicon, Named, describe_vocabulary, load_lexicon
from eidolon.scorers.types import Judgement, Mention, Response

READINGS = ("careful", "original")
NOT_ENGLISH = "not English: the lexicon cannot read it"
NO_RESPONSE = "no response"

_WORD = re.compile(r"\S+")


class Reading(Protocol):
    """A way to read: which objects a text names, and where."""

    name: str

    def read(self, text: str) -> list[Named]:
        """Return the objects named in `text`, in its order."""
        ...


class LexiconJudge:
    """Finds the objects of a lexicon in responses, by one of two readings.

    `careful` (the default) reads what the text says is there; an empty response or a refusal names nothing,
    and one that is not English is unscored. `original` reads every text as the reference CHAIR program does.
    `lexicon` is the name of a shipped one, the path of a `.json` file, or a `Lexicon`; `categories` (a list, or
    names separated by commas) narrows what is reported, not what is read: with only `dog`, a hot dog is still none.
    Raises UserError for an unknown reading, lexicon or category.
    """

    name = "lexicon"

    def __init__(
        self,
        reading: str = "careful",
        lexicon: str | Lexicon = "coco80",
        categories: str | tuple[str, ...] | list[str] | None = None,
    ) -> None:
        if reading not in READINGS:
            raise UserError(f"judge lexicon: unknown reading {reading!r}{did_you_mean(reading, READINGS)}")
        self.lexicon = load_lexicon(lexicon) if isinstance(lexicon, str) else lexicon
        self._shipped = isinstance(lexicon, str) and not lexicon.endswith(".json")
        if isinstance(categories, str):
            categories = [name.strip() for name in categories.split(",")]
        self.known = self.lexicon.vocabulary
        self.vocabulary = self.lexicon.select(categories)
        self.reading = _build_reading(reading, self.lexicon)

    def signature(self) -> str:
        """Return the reading and the vocabulary."""
        vocabulary = describe_vocabulary(self.lexicon, self._shipped, self.vocabulary)
        return f"lexicon(reading={self.reading.name},vocabulary={vocabulary})"

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement a response, in order, verdicts not yet set."""
        return (self._judge_one(response) for response in responses)

    def _judge_one(self, response: Response) -> Judgement:
        mentions: tuple[Mention, ...] = ()
        unscored = None
        if response.error is not None or response.response is None:
            unscored = response.error or NO_RESPONSE
        else:
            kind = classify(response.response) if self.reading.name == "careful" else "ok"
            if kind == "ok":
                mentions = self._mentions(response.response, response.token_ends)
            elif kind == "non_english":
                unscored = NOT_ENGLISH
        return Judgement(
            sample_id=response.sample_id,
            image_id=response.image_id,
            generation=response.generation,
            mentions=mentions,
            unscored=unscored,
        )

    def _mentions(self, text: str, token_ends: tuple[int, ...] | None) -> tuple[Mention, ...]:
        wanted = frozenset(self.vocabulary)
        word_starts = [match.start() for match in _WORD.finditer(text)]
        return tuple(
            Mention(
                category=named.category,
                text=text[named.start : named.end],
                start=named.start,
                end=named.end,
                word=bisect_right(word_starts, named.start) - 1,
                token=_token(token_ends, named.start),
            )
            for named in self.reading.read(text)
            if named.category in wanted
        )


def _build_reading(name: str, lexicon: Lexicon) -> Reading:
    if name == "original":
        from eidolon.scorers.reading_original import OriginalReading

        return OriginalReading(lexicon)
    from eidolon.scorers.reading_careful import CarefulReading

    return CarefulReading(lexicon)


def _token(token_ends: tuple[int, ...] | None, offset: int) -> int | None:
    """Return the index of the token whose text holds the character at `offset`."""
    if token_ends is None:
        return None
    index = bisect_right(token_ends, offset)
    return index if index < len(token_ends) else None
