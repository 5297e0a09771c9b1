"""The lexicon judge: objects of a closed vocabulary, found by rules."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.judge import describe_judge
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.judges.mentions import Places, judged, why_missing
from eidolon.scorers.text.judgeability import classify
from eidolon.scorers.text.lexicon import (
    DEFAULT_LEXICON,
    Lexicon,
    NamedObject,
    label,
    load_lexicon,
    outside_lexicon,
)

READINGS = ("careful", "original", "wordnet")
NAMING_READINGS = ("careful", "original")
"""The readings that together say what a text names: one leaves out what the text denies, the other does not."""
NOT_ENGLISH = "not English: the lexicon cannot read it"


class LexiconReading(Protocol):
    """A method that finds which objects a text names, and where."""

    name: str
    signature: str
    """The reading in signatures: its name, with a version if its rules may change."""

    def read(self, text: str) -> list[NamedObject]:
        """Return the objects named in `text`, in its order."""
        ...


class LexiconJudge:
    """Finds the objects of a lexicon in responses, by one of three readings.

    The reading `careful` (the default) finds the objects that the text says are there. An empty response or a refusal
    names nothing, and a response in another language than English is unscored. The reading `original` reads every
    text as the reference CHAIR program does, and `wordnet` as OPERA's version of that program does.

    `lexicon` is the name of a shipped lexicon, the path of a `.json` file, or a `Lexicon`. `categories` (a list, or
    names separated by commas) narrows what is reported, but not what is read: with `dog` alone, a hot dog is still no
    dog.

    Raises:
        UserError: the reading, lexicon or a category is unknown.
    """

    name = "lexicon"

    def __init__(
        self,
        reading: str = "careful",
        lexicon: str | Lexicon = DEFAULT_LEXICON,
        categories: str | tuple[str, ...] | list[str] | None = None,
    ) -> None:
        if reading not in READINGS:
            raise UserError(f"judge lexicon: unknown reading {reading!r}{did_you_mean(reading, READINGS)}")
        self.lexicon = load_lexicon(lexicon) if isinstance(lexicon, str) else lexicon
        if isinstance(categories, str):
            categories = [name.strip() for name in categories.split(",")]
        self.known = self.lexicon.vocabulary
        self.vocabulary = self.lexicon.select(categories)
        self._wanted = frozenset(self.vocabulary)
        self.reading = _build_reading(reading, self.lexicon)

    @property
    def reads_raw_text(self) -> bool:
        """Whether the reading is that of a published program."""
        return self.reading.name != "careful"

    def signature(self) -> str:
        """Return the reading and the vocabulary."""
        return describe_judge(self.name, self.settings())

    def settings(self) -> dict[str, str]:
        """Return the reading, with its version, and the vocabulary, by name."""
        return {"reading": self.reading.signature, "vocabulary": label(self.lexicon, self.vocabulary)}

    @classmethod
    def loads_from_outside(cls, options: Mapping[str, str]) -> str | None:
        """Return the lexicon if it does not ship with the package."""
        return outside_lexicon(options.get("lexicon", DEFAULT_LEXICON))

    def terms(self) -> Mapping[str, str]:
        """Return term → category, those that one reading leaves out included."""
        return {**self.lexicon.careful_terms(), **self.lexicon.terms()}

    def namers(self) -> tuple["LexiconJudge", ...]:
        """Return two readings of the same categories: the careful one leaves out what a text denies."""
        return tuple(LexiconJudge(reading, self.lexicon, self.vocabulary) for reading in NAMING_READINGS)

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement for each response, in order. Verdicts are not set yet."""
        return (self._judge_one(response) for response in responses)

    def _judge_one(self, response: Response) -> Judgement:
        if response.response is None or response.error is not None:
            return judged(response, unscored=why_missing(response))
        kind = classify(response.response) if self.reading.name == "careful" else "ok"
        if kind == "non_english":
            return judged(response, unscored=NOT_ENGLISH)
        return judged(response, self._mentions(response, response.response) if kind == "ok" else ())

    def _mentions(self, response: Response, text: str) -> tuple[Mention, ...]:
        wanted = self._wanted
        places = Places(response)
        return tuple(
            places.mention(named.start, named.end, named.category)
            for named in self.reading.read(text)
            if named.category in wanted
        )


def _build_reading(name: str, lexicon: Lexicon) -> LexiconReading:
    if name == "original":
        from eidolon.scorers.text.reading_original import OriginalReading

        return OriginalReading(lexicon)
    if name == "wordnet":
        from eidolon.scorers.text.reading_wordnet import WordnetReading

        return WordnetReading(lexicon)
    from eidolon.scorers.text.reading_careful import CarefulReading

    return CarefulReading(lexicon)
