"""The reading of the reference CHAIR program (Rohrbach et al. 2018), reproduced exactly with its quirks.

It lower-cases and tokenises the text, singularises every token, and merges the listed pairs of neighbouring words. If
both `toilet` and `seat` are left, it drops every `seat`. The words that are terms are kept. Known quirks: the
singulariser breaks "bus" and "ties", a colour such as "orange" is the fruit, and "table.The" is one token.

The tokens are those of NLTK up to 3.8, which the published files of this program need: "child's" before a line break is
one token, and no child.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from eidolon.scorers.text.chair_words import ObjectNamer
from eidolon.scorers.text.lexicon import Lexicon, NamedObject
from eidolon.scorers.text.word_tokens import Span, locate, lower, tokenizer_of_nltk_3_8

SENTENCE_END = re.compile("(?<![.!?])[.!?]++[\"'\u201d\u2019)\\]]*+\\s+")
"""The word tokeniser expects one sentence at a time. It runs on the pieces that end at these matches.

A match can begin only where a run of marks begins. Without this condition, a page of dots would take minutes.
"""

SINGULAR_CACHE = 100_000


class OriginalReading:
    """Reads texts as the reference does, and locates each word in the text."""

    name = "original"
    signature = "original"

    def __init__(self, lexicon: Lexicon) -> None:
        # Imported here, as NLTK is, because the two libraries take about a second.
        from textblob.en.inflect import singularize

        self._tokenize = tokenizer_of_nltk_3_8()
        self._singular: Callable[[str], str] = lru_cache(SINGULAR_CACHE)(singularize)
        self._namer = ObjectNamer(lexicon)

    def read(self, text: str) -> list[NamedObject]:
        """Return the objects named in `text`, in its order. `term` is the singular, merged word."""
        lowered, origins = lower(text)
        spans: list[Span] = []
        words: list[str] = []
        for start, end in _pieces(lowered):
            tokens = self._tokenize(lowered[start:end].strip())
            spans += locate(tokens, lowered, start, end)
            words += [self._singular(token) for token in tokens]
        return self._namer.name(words, spans, origins)


def _pieces(text: str) -> list[Span]:
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return list(zip([0, *ends], [*ends, len(text)], strict=True))
