"""Which words of AMBER's list a free-form response names, and which count as the same object."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.text.english import CONJUNCTIONS, DEFINITE, INDEFINITE, PREPOSITIONS, follows_noun, words

MATCHINGS = ("lexicon", "vectors")
VECTOR_MODEL = "en_core_web_lg"
VECTOR_VERSION = "3.8.0"
SIMILARITY = 0.8
"""Cosine above which two words are one object (the default of the released program)."""

_TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|\d+|[^\w\s]")
_DETERMINERS = DEFINITE | INDEFINITE | words("his her its their my our your one two three four five several")
_BEFORE_PLURALS = _DETERMINERS | PREPOSITIONS | CONJUNCTIONS
_OFTEN_VERBS = words(
    "can drain leave lock lounge range skate ski sound spray support switch tie track watch sailing"
)
_OFTEN_NO_NOUNS = _OFTEN_VERBS | words("hot light orange drawing painting note")
"""Words of AMBER's list that are as often a verb or an adjective in descriptions."""


class WordMatcher(Protocol):
    """Finds the nouns of a response that are in the word list, and compares words."""

    def signature(self) -> str:
        """Return how it matches, for the score's signature."""
        ...

    def nouns(self, text: str) -> list[str]:
        """Return the listed nouns of the text in order, repetitions included, as the list spells them."""
        ...

    def alike(self, noun: str, word: str) -> bool:
        """Tell whether two different words name one object, in addition to the relations."""
        ...


def vocabulary_of(relations: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return all words of the relations, heads and associated."""
    return frozenset(relations) | {word for associated in relations.values() for word in associated}


class LexiconMatcher:
    """Matches listed words in singular or plural. It needs no model, and never finds two words similar.

    The released program tags nouns with NLTK. Here a word that is as often a verb or an adjective ("can", "light",
    "orange") counts only after a determiner and not before another noun.
    """

    def __init__(self, vocabulary: frozenset[str]) -> None:
        from textblob.en.inflect import singularize

        self._words = {word.lower(): word for word in sorted(vocabulary)}
        self._singular: Callable[[str], str] = lru_cache(100_000)(singularize)

    def signature(self) -> str:
        """Return the name of the method."""
        return "lexicon"

    def nouns(self, text: str) -> list[str]:
        """Return the listed nouns in order."""
        tokens = _TOKEN.findall(text.lower())
        found = []
        for i, token in enumerate(tokens):
            lemma = self._lemma(token)
            if lemma is None:
                continue
            before = tokens[i - 1] if i else ""
            after = tokens[i + 1] if i + 1 < len(tokens) else ""
            if lemma not in _OFTEN_NO_NOUNS or _is_noun(token, lemma, before, after):
                found.append(self._words[lemma])
        return found

    def alike(self, noun: str, word: str) -> bool:
        """Return False: two words are the same or they are not."""
        return False

    def _lemma(self, token: str) -> str | None:
        """Return the listed word that a token is a form of. A token that is listed itself stays ("glasses")."""
        for form in (token, self._singular(token), token.removesuffix("s")):
            if form in self._words:
                return form
        return None


class VectorMatcher:
    """Matches as the released program does, with the word vectors, tags and lemmas of one model.

    The score changes with the vectors, so only this model in this version is accepted.
    """

    def __init__(self, vocabulary: frozenset[str]) -> None:
        """Load the model.

        Raises:
            UserError: the model is missing, or has another version.
        """
        self._vocabulary = vocabulary
        self._nlp = _load_vectors()
        self._similarity: Callable[[str, str], float] = lru_cache(1_000_000)(self._cosine)

    def signature(self) -> str:
        """Return the method, its model and the model's version."""
        return f"vectors({VECTOR_MODEL}-{VECTOR_VERSION})"

    def nouns(self, text: str) -> list[str]:
        """Return the lemmas of the nouns that are listed, in order."""
        lemmas = (token.lemma_ for token in self._nlp(text) if token.tag_.startswith("NN"))
        return [lemma for lemma in lemmas if lemma in self._vocabulary]

    def alike(self, noun: str, word: str) -> bool:
        """Tell whether the cosine of the two words' vectors is above `SIMILARITY`."""
        return self._similarity(noun, word) > SIMILARITY

    def _cosine(self, noun: str, word: str) -> float:
        return float(self._nlp(noun).similarity(self._nlp(word)))


def _is_noun(token: str, lemma: str, before: str, after: str) -> bool:
    if token == lemma:
        return before in _DETERMINERS and follows_noun(after)
    return lemma not in _OFTEN_VERBS or before in _BEFORE_PLURALS


def _load_vectors() -> Any:
    wanted = f"--matching vectors: needs {VECTOR_MODEL} {VECTOR_VERSION}"
    fix = f"python -m spacy download {VECTOR_MODEL}-{VECTOR_VERSION} --direct, or use --matching lexicon"
    try:
        found = version(VECTOR_MODEL)
    except PackageNotFoundError:
        raise UserError(f"{wanted}, which is not installed; {fix}") from None
    if found != VECTOR_VERSION:
        raise UserError(f"{wanted}, and {found} is installed; {fix}")
    import spacy

    nlp = spacy.load(VECTOR_MODEL)
    name = f"{nlp.meta['lang']}_{nlp.meta['name']}"
    if (name, nlp.meta["version"]) != (VECTOR_MODEL, VECTOR_VERSION):
        raise UserError(f"{wanted}, and the package of that name loads {name} {nlp.meta['version']}; {fix}")
    return nlp
