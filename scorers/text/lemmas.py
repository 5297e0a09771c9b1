"""Lemmas by WordNet's `morphy`, as NLTK's `WordNetLemmatizer` picks them."""

from functools import lru_cache

from eidolon.scorers.text.english_data import load_lemmas

CACHE = 100_000

ENDINGS = {
    "n": (
        *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z")),
        *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
    ),
    "v": (
        *(("s", ""), ("ies", "y"), ("es", "e"), ("es", "")),
        *(("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}
"""Part of speech → endings and what replaces them: WordNet's rules (morphy(7WN)), with NLTK's "ves"."""


class Lemmatizer:
    """Finds the lemma of a word of a known part of speech."""

    def __init__(self) -> None:
        self._lemmas, self._irregular = load_lemmas()
        self.lemma = lru_cache(CACHE)(self._find)

    def _find(self, word: str, part: str) -> str:
        """Return the shortest lemma that WordNet has for `word` as noun (`n`), verb, adjective or adverb (`r`).

        Candidates are the word itself and its irregular lemmas, or the word and what one replaced ending gives. A word
        without any lemma is returned as it is.
        """
        candidates = self._irregular[part].get(word)
        if candidates is None:
            candidates = tuple(
                word[: -len(ending)] + other for ending, other in ENDINGS[part] if word.endswith(ending)
            )
        known = [form for form in (word, *candidates) if form in self._lemmas[part]]
        return min(known, key=len, default=word)
