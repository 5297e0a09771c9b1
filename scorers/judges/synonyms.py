"""Synonyms of phrases: those of a lexicon that ships, or WordNet's from the user's copy."""

import warnings
from pathlib import Path
from typing import Any, Protocol

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import user_path
from eidolon.scorers.text.lexicon import Lexicon, label

WORDNET_FILES = ("index.noun", "data.noun", "lexnames", "noun.exc")
"""Some of the files of WordNet's folder, by which it is recognised."""


class Synonyms(Protocol):
    """Tells whether two phrases have a common synonym."""

    def signature(self) -> str:
        """Return the source, for the score's signature."""
        ...

    def common(self, one: str, other: str) -> bool:
        """Return whether the phrases have a common synonym."""
        ...


class LexiconSynonyms:
    """Two names of one category."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon, self._categories = lexicon, lexicon.careful_terms()

    def signature(self) -> str:
        """Return the lexicon."""
        return label(self._lexicon)

    def common(self, one: str, other: str) -> bool:
        """Return whether both names have one category."""
        category = self._categories.get(one)
        return category is not None and category == self._categories.get(other)


class WordNetSynonyms:
    """Phrases whose synsets share a lemma, in WordNet's database (Miller 1995), read by nltk.

    Raises:
        UserError: the folder does not hold it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = user_path(folder)
        for name in WORDNET_FILES:
            if not (self._folder / name).is_file():
                raise UserError(
                    f"-J wordnet={folder}: holds no {name}; name the folder corpora/wordnet of nltk's data "
                    "(python -m nltk.downloader wordnet)"
                )
        try:
            self._reader = _wordnet(self._folder)
        except (LookupError, OSError, ValueError):
            raise UserError(f"-J wordnet={folder}: cannot be read as WordNet's database") from None
        self._known: dict[str, frozenset[str]] = {}

    def signature(self) -> str:
        """Return the folder's name and the size of its nouns, which differs between versions of WordNet."""
        return f"{self._folder.name}:{(self._folder / 'data.noun').stat().st_size}"

    def common(self, one: str, other: str) -> bool:
        """Return whether the phrases have a common lemma."""
        return not self._lemmas(one).isdisjoint(self._lemmas(other))

    def _lemmas(self, phrase: str) -> frozenset[str]:
        if phrase not in self._known:
            found = self._reader.synsets("_".join(phrase.split()))
            self._known[phrase] = frozenset(lemma for synset in found for lemma in synset.lemma_names())
        return self._known[phrase]


def _wordnet(folder: Path) -> Any:
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class EnglishReader(WordNetCorpusReader):  # type: ignore[misc]
        """Without the map between versions, which is for other languages and reads nltk's own copy."""

        def map_wn(self, version: str = "wordnet") -> None:
            """Return no map."""

    place = str(folder.resolve())
    if place not in nltk.data.path:  # nltk reads only below these; the user has named the folder
        nltk.data.path.append(place)
    with warnings.catch_warnings(action="ignore"):  # that other languages are not there
        return EnglishReader(place, None)
