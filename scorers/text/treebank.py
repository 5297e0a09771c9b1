"""The word tokeniser of NLTK up to 3.8, which the published numbers of the reference CHAIR program were computed with.

The rules are those of its `NLTKWordTokenizer` (Bird et al., Apache License 2.0): Robert MacIntyre's script for the Penn
Treebank, with later changes. They are kept here because importing NLTK takes half a second. A test compares the two.
The rules split no clitic or quote from a word at the end of a line (`child's` and `cat'` before a line break are
whole), no quote from the beginning of most words, and no word at a dash.
"""

import re
from typing import Final

_OPENING: Final = (
    ("([\u00ab\u201c\u2018\u201e]|[`]+)", r" \1 "),
    (r"^\"", "``"),
    ("(``)", r" \1 "),
    (r"([ \(\[{<])(\"|\'{2})", r"\1 `` "),
    (r"(?i)(\')(?!re|ve|ll|m|t|s|d|n)(\w)\b", r"\1 \2"),
)
_PUNCTUATION: Final = (
    ("([^\\.])(\\.)([\\]\\)}>\"'\u00bb\u201d\u2019 ]*+)\\s*$", r"\1 \2 \3 "),
    (r"([:,])([^\d])", r" \1 \2"),
    (r"([:,])$", r" \1 "),
    (r"\.{2,}", r" \g<0> "),
    (r"[;@#$%&]", r" \g<0> "),
    (r"([^\.])(\.)([\]\)}>\"']*)\s*$", r"\1 \2\3 "),
    (r"[?!]", r" \g<0> "),
    (r"([^'])' ", r"\1 ' "),
    (r"[*]", r" \g<0> "),
    (r"[\]\[\(\)\{\}\<\>]", r" \g<0> "),
    ("--", " -- "),
)
_CLOSING: Final = (
    ("([\u00bb\u201d\u2019])", r" \1 "),
    ("''", " '' "),
    ('"', " '' "),
    (r"([^' ])('[sS]|'[mM]|'[dD]|') ", r"\1 \2 "),
    (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
    *(
        (rf"(?i)\b({first})({second})\b", r" \1 \2 ")
        for first, second in (("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"))
    ),
    (r"(?i)\b(lem)(me)\b", r" \1 \2 "),
    (r"(?i)\b(more)('n)\b", r" \1 \2 "),
    (r"(?i)\b(wan)(na)(?=\s)", r" \1 \2 "),
    (r"(?i) ('t)(is)\b", r" \1 \2 "),
    (r"(?i) ('t)(was)\b", r" \1 \2 "),
)
_BEFORE = tuple((re.compile(pattern), other) for pattern, other in (*_OPENING, *_PUNCTUATION))
_AFTER = tuple((re.compile(pattern), other) for pattern, other in _CLOSING)

SPLIT_WORDS = frozenset(("cannot", "gimme", "gonna", "gotta", "lemme", "wanna"))
"""Words of letters alone that are two tokens."""


def tokenize(sentence: str) -> list[str]:
    """Return the tokens of one sentence. A double quote becomes two characters."""
    for pattern, other in _BEFORE:
        sentence = pattern.sub(other, sentence)
    sentence = f" {sentence} "
    for pattern, other in _AFTER:
        sentence = pattern.sub(other, sentence)
    return sentence.split()
