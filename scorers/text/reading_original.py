"""The reading of the reference CHAIR program (Rohrbach et al. 2018), reproduced exactly with its quirks.

It lower-cases and tokenises the text, singularises every token, and merges the listed pairs of neighbouring words. If
both `toilet` and `seat` are left, it drops every `seat`. The words that are terms are kept. Known quirks: the
singulariser breaks "bus" and "ties", a colour such as "orange" is the fruit, and "table.The" is one token.

The tokens are those of NLTK up to 3.8, which the published files of this program need: "child's" before a line break is
one token, and no child.
"""

from eidolon.scorers.text.chair_pieces import CountedWords
from eidolon.scorers.text.chair_words import ObjectNamer
from eidolon.scorers.text.lexicon import Lexicon, NamedObject
from eidolon.scorers.text.word_tokens import lower


class OriginalReading:
    """Reads texts as the reference does, and locates each word in the text."""

    name = "original"
    signature = "original"

    def __init__(self, lexicon: Lexicon) -> None:
        self._namer = ObjectNamer(lexicon)
        self._pieces = CountedWords(self._namer.counted())

    def read(self, text: str) -> list[NamedObject]:
        """Return the objects named in `text`, in its order. `term` is the singular, merged word."""
        lowered, origins = lower(text)
        words, spans = self._pieces.read(lowered)
        return self._namer.name(words, spans, origins)
