"""English text as tagged words, by the Brill tagger that textblob ships. Nothing needs to be downloaded.

Tags are those of the Penn Treebank (Marcus et al., 1993). The tagger (De Smedt & Daelemans, *Pattern for Python*,
JMLR 2012) knows some 90,000 words and a few rules of context. About one tag in twenty is wrong.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*|[^\w\s]")
_PART = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_ENDS = frozenset(".!?")
_CACHE = 100_000


@dataclass(frozen=True, slots=True)
class Token:
    """A word or mark of a text in lower case, with its characters [start, end) and its tag."""

    text: str
    start: int
    end: int
    tag: str

    @property
    def is_noun(self) -> bool:
        """Tell whether it is a common or proper noun."""
        return self.tag.startswith("NN")


def tag(text: str) -> list[Token]:
    """Return the tokens of a text with their tags, in order. Words are tagged sentence by sentence.

    Case is ignored: captions use it too freely to distinguish names from nouns.
    """
    tokens: list[Token] = []
    sentence: list[re.Match[str]] = []
    for match in _TOKEN.finditer(text):
        sentence.append(match)
        if match[0] in _ENDS:
            tokens += _tag_sentence(sentence)
            sentence = []
    return tokens + _tag_sentence(sentence)


def words_of(text: str) -> list[str]:
    """Return the lower-cased words of a text, in order, without marks."""
    return [token for token in _TOKEN.findall(text.lower()) if token[0].isalnum()]


def spans_of_words(text: str) -> list[tuple[str, int, int]]:
    """Return the lower-cased words of a text with their characters [start, end). Hyphenated words are split."""
    return [(match[0].lower(), match.start(), match.end()) for match in _PART.finditer(text)]


@lru_cache(_CACHE)
def stem(word: str) -> str:
    """Return the stem that a word shares with its inflections (Porter, Snowball English)."""
    found: str = _stemmer().stem(word)
    return found


def _tag_sentence(matches: list[re.Match[str]]) -> list[Token]:
    texts = [match[0].lower() for match in matches]
    tags = [tag for _, tag in _parser().find_tags(texts)] if texts else []
    return [
        Token(text, match.start(), match.end(), tag)
        for text, match, tag in zip(texts, matches, tags, strict=True)
    ]


@cache
def _parser() -> Any:
    from textblob.en import parser

    return parser


@cache
def _stemmer() -> Any:
    from nltk.stem.snowball import EnglishStemmer

    return EnglishStemmer()
