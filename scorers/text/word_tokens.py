"""Tokens as the CHAIR programs see them: `nltk.word_tokenize` of the lower-cased text, with the place of each token.

NLTK's tokeniser has changed, and with it what the programs count. The rules are those of the NLTK that each program's
published numbers were computed with.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from eidolon.scorers.text.english_data import load_sentence_rules

Span = tuple[int, int]

_BEGINS_LOWER = 1 << 4
"""Punkt's flag of a word that begins sentences in lower case."""


class Lowered(NamedTuple):
    """A lower-cased text. `origins` has, for each of its characters, the offset of its origin in the raw text."""

    text: str
    origins: Sequence[int]


def lower(text: str) -> Lowered:
    """Return the lower-cased text with its origins. A few characters become two."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return Lowered(lowered, range(len(text)))
    return Lowered(lowered, [offset for offset, character in enumerate(text) for _ in character.lower()])


def tokenizer() -> Callable[[str], list[str]]:
    """Return the word tokeniser of the installed NLTK, 3.10.1 or newer, for one sentence."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenize: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
    return tokenize


def sentence_splitter() -> Callable[[str], list[Span]]:
    """Return Punkt for lower-cased English: it gives the span of each sentence, as `nltk.sent_tokenize` cuts them.

    Punkt compares words with the forms in upper and lower case that it has learned. For a text without upper case only
    abbreviations and a few words that open sentences matter.
    """
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    rules = load_sentence_rules()
    parameters = PunktParameters()
    parameters.abbrev_types = set(rules.abbreviations)
    parameters.ortho_context.update(dict.fromkeys(rules.openers, _BEGINS_LOWER))
    splitter = PunktSentenceTokenizer(parameters)
    return lambda text: list(splitter.span_tokenize(text))


def locate(tokens: Sequence[str], text: str, start: int, end: int) -> list[Span]:
    """Return the span in `text` of each token of `text[start:end]`.

    The tokeniser adds and drops white space, and writes a double quote as two characters. It changes nothing else, so
    that its output can be aligned with the text character by character.
    """
    offsets = []
    for offset in range(start, end):
        character = text[offset]
        if character == '"':
            offsets += [offset, offset]
        elif not character.isspace():
            offsets.append(offset)
    spans = []
    position = 0
    for token in tokens:
        last = position + len(token) - 1
        spans.append((offsets[position], offsets[last] + 1))
        position = last + 1
    return spans
