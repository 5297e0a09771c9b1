"""The reading of the CHAIR program that lemmatises: OPERA's `chair.py`, which many repositories carry.

It differs from Rohrbach et al.'s in one step. The program tags the tokens of the whole text and takes the WordNet lemma
of each, by its part of speech, instead of its singular. So "bus" is found, "ties" as a noun and "is skiing"; a plural
noun that is tagged as an adjective is not.
"""

from eidolon.scorers.text.chair_words import ObjectNamer
from eidolon.scorers.text.english_data import data_version
from eidolon.scorers.text.lemmas import Lemmatizer
from eidolon.scorers.text.lexicon import Lexicon, NamedObject
from eidolon.scorers.text.tagging import Tagger
from eidolon.scorers.text.word_tokens import Span, locate, lower, sentence_splitter, tokenizer

PARTS = {"J": "a", "V": "v", "N": "n", "R": "r"}
"""The first letter of a tag → the part of speech. Words of all other tags are lemmatised as nouns."""


class WordnetReading:
    """Reads texts as OPERA's program does, and locates each word in the text."""

    name = "wordnet"

    def __init__(self, lexicon: Lexicon) -> None:
        self.signature = data_version()
        self._sentences = sentence_splitter()
        self._tokenize = tokenizer()
        self._tagger = Tagger()
        self._lemmatizer = Lemmatizer()
        self._namer = ObjectNamer(lexicon)

    def read(self, text: str) -> list[NamedObject]:
        """Return the objects named in `text`, in its order. `term` is the merged lemma."""
        lowered, origins = lower(text)
        tokens: list[str] = []
        spans: list[Span] = []
        for start, end in self._sentences(lowered):
            found = self._tokenize(lowered[start:end])
            spans += locate(found, lowered, start, end)
            tokens += found
        tagged = zip(tokens, self._tagger.tags(tokens), strict=True)
        words = [self._lemmatizer.lemma(token, PARTS.get(tag[0], "n")) for token, tag in tagged]
        return self._namer.name(words, spans, origins)
