"""Which words of a response the reference captions support: the matcher of the judge `words`."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from eidolon.scorers.core.judge import Evidence, VerdictSource
from eidolon.scorers.core.types import Judgement, Mention
from eidolon.scorers.text.content_words import NUMBERS, PAIRS, alike
from eidolon.scorers.text.english import FUNCTION_WORDS
from eidolon.scorers.text.lexicon import Lexicon, label
from eidolon.scorers.text.singular_nouns import singular
from eidolon.scorers.text.tagged import stem, words_of

GROUNDED = 0.5
"""Support from which a word is grounded. For a number, half of the references that state a number must state it."""
MIN_SHARED = 4
"""Shortest stem that counts as related to a longer one which begins or ends with it: `wood`, `wooden`."""
MAX_DIGITS = 9
"""Longest run of digits that is read as a number."""
_CACHE = 200_000


class ReferenceMatcher:
    """Measures how far the references of an image support each word.

    A word is supported by a reference with the word itself, with a related stem (`wooden`: wood, `skateboarder`:
    skateboard), with a word of the same category of the lexicon (`boy`: person), or with a word of the same group
    (`road`: street). The support of a number is the share of references that state it, among those that state a
    number.
    """

    verdicts_from: VerdictSource = "references"

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon, self._categories = lexicon, lexicon.careful_terms()

    def signature(self) -> str:
        """Return the source of the support, with the lexicon of the synonyms."""
        return f"references/2+{label(self._lexicon)}"

    def match(self, judgements: Sequence[Judgement], evidence: Sequence[Evidence]) -> list[Judgement]:
        """Return the judgements with verdicts. The support of each word is its similarity."""
        return [self._match(j, known.references) for j, known in zip(judgements, evidence, strict=True)]

    def _match(self, judgement: Judgement, references: tuple[str, ...]) -> Judgement:
        sources = ReferenceWords(references, self._categories)
        mentions = tuple(
            _decide(mention, sources.support(mention.category)) for mention in judgement.mentions
        )
        return judgement.model_copy(update={"mentions": mentions})


class ReferenceWords:
    """The words of the references of one image."""

    def __init__(self, references: Sequence[str], categories: Mapping[str, str]) -> None:
        """Take the texts, and the category of each term that has one."""
        texts = [words_of(text) for text in references]
        self._words = frozenset(part for text in texts for word in text for part in (word, *word.split("-")))
        self._stems = frozenset(map(stem, self._words))
        self._alike = alike(self._stems)
        self._of_term = categories
        self._categories = {self._category(word) for word in self._words} - {None}
        self._numbers = [numbers for text in texts if (numbers := stated_numbers(text))]

    def support(self, word: str) -> float:
        """Return how far the references support a lower-cased word, 0 to 1."""
        value = number(word)
        if value is not None:
            agreeing = sum(value in numbers for numbers in self._numbers)
            return agreeing / len(self._numbers) if self._numbers else 0.0
        parts = word.split("-")
        if word in self._words or (len(parts) > 1 and all(map(self._known_part, parts))):
            return 1.0
        one = stem(word)
        known = any(related(one, other) for other in self._stems)
        return float(known or self._category(word) in self._categories or bool(alike([one]) & self._alike))

    def _known_part(self, part: str) -> bool:
        return part in FUNCTION_WORDS or self.support(part) >= GROUNDED

    def _category(self, word: str) -> str | None:
        return self._of_term.get(word) or self._of_term.get(singular(word))


def number(word: str) -> int | None:
    """Return the number that a word states. None for any other word, and for one."""
    if word in NUMBERS:
        return NUMBERS[word]
    return int(word) if word.isdecimal() and len(word) <= MAX_DIGITS and int(word) != 1 else None


def stated_numbers(words: Sequence[str]) -> frozenset[int]:
    """Return the numbers that a text states. A couple or a pair is 2."""
    found = {value for word in words if (value := number(word)) is not None}
    return frozenset(found | {2}) if PAIRS & set(words) else frozenset(found)


@lru_cache(_CACHE)
def related(one: str, other: str) -> bool:
    """Tell whether two stems are the same, or a long enough one begins or ends the other."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= MIN_SHARED and (long.startswith(short) or long.endswith(short)))


def _decide(mention: Mention, support: float) -> Mention:
    if mention.verdict == "ignored":
        return mention
    verdict = "grounded" if support >= GROUNDED else "hallucinated"
    return mention.model_copy(update={"verdict": verdict, "similarity": support})
