"""The questions of the THRONE protocol, byte for byte as published (Kaul et al., CVPR 2024; arXiv 2405.05256).

These strings are the only text copied from the protocol. Another wording would be another benchmark, so a test fails
if a byte changes.
"""

from dataclasses import dataclass

from eidolon.scorers.core.errors import UserError, did_you_mean

RESPONSE_CHARACTERS = 1024
"""Characters of a response that are read (from the released code)."""
ANSWER_TOKENS = 15
"""New tokens of an answer. `max_length` is 16 in the released code, and the decoder's start token is one of them."""
DEFAULT_FORMATS = ("1a", "1b", "2a")
"""The formats of the released code. The paper has all eight."""

_PREFIX = "Please answer yes or no. "
_PLURAL_NAMES = frozenset({"skis", "scissors"})
_ASKED_AS = {"tie": "necktie"}


@dataclass(frozen=True, slots=True)
class QuestionFormat:
    """One wording: for a category in the singular (`{a} {c}`), and for one in the plural (`{c}`)."""

    singular: str
    plural: str


def _both(singular: str, plural: str) -> tuple[QuestionFormat, QuestionFormat]:
    """Return variant a, with the prefix, and variant b, without."""
    return QuestionFormat(_PREFIX + singular, _PREFIX + plural), QuestionFormat(singular, plural)


_1A, _1B = _both("Is there {a} {c} in this image?", "Are there {c} in this image?")
_2A, _2B = _both("Does the text imply {a} {c} is in the image?", "Does the text imply {c} are in the image?")
_3A, _3B = _both(
    "Does the text give evidence for {a} {c} being present?",
    "Does the text give evidence for {c} being present?",
)
_4A, _4B = _both(
    "Does the text explicitly mention {a} {c} is in the image?",
    "Does the text explicitly mention {c} are in the image?",
)

FORMATS = {"1a": _1A, "1b": _1B, "2a": _2A, "2b": _2B, "3a": _3A, "3b": _3B, "4a": _4A, "4b": _4B}


def question(question_format: str, category: str) -> str:
    """Return the question about a category in one of the `FORMATS`.

    `skis` and `scissors` are asked about in the plural, and `tie` as `necktie`. The article is `an` before a, e, i,
    o, u.
    """
    wording = FORMATS[question_format]
    name = _ASKED_AS.get(category, category)
    if category in _PLURAL_NAMES:
        return wording.plural.format(c=name)
    return wording.singular.format(a="an" if name[0] in "aeiou" else "a", c=name)


def prompt(text: str, asked: str) -> str:
    """Return the prompt of the language model: a text of at most `RESPONSE_CHARACTERS`, and a question."""
    return f"Text: {text[:RESPONSE_CHARACTERS]}\n\nRead the text and answer the question.\n\n{asked}"


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the names of formats in a comma-separated list.

    Raises:
        UserError: a format is unknown, or named twice.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in FORMATS:
            raise UserError(f"-J formats={text}: unknown format {name!r}{did_you_mean(name, [*FORMATS])}")
    if len(set(names)) != len(names):
        raise UserError(f"-J formats={text}: names a format twice")
    return names
