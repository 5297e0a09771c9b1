"""The questions of the THRONE protocol, byte for byte as published (Kaul et al., CVPR 2024; arXiv 2405.05256).

These strings are the one text taken over from the protocol: another wording is another benchmark, and a test
fails when a byte changes.
"""

from dataclasses import dataclass

from eidolon.scorers.core.errors import UserError, did_you_mean

RESPONSE_CHARACTERS = 1024
"""Of a response only so much is read, in characters (the released code)."""
ANSWER_TOKENS = 15
"""New tokens of an answer: `max_length` 16 in the released code, of which the decoder's start token is one."""
DEFAULT_FORMATS = ("1a", "1b", "2a")
"""What the released code asks; the paper has all eight."""

_PREFIX = "Please answer yes or no. "
_PLURAL_NAMES = frozenset({"skis", "scissors"})
_ASKED_AS = {"tie": "necktie"}


@dataclass(frozen=True, slots=True)
class QuestionFormat:
    """One wording, for a category in the singular (`{a} {c}`) and for one in the plural (`{c}`)."""

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

    `skis` and `scissors` are asked in the plural, `tie` as `necktie`; the article is `an` before a, e, i, o, u.
    """
    wording = FORMATS[question_format]
    name = _ASKED_AS.get(category, category)
    if category in _PLURAL_NAMES:
        return wording.plural.format(c=name)
    return wording.singular.format(a="an" if name[0] in "aeiou" else "a", c=name)


def prompt(text: str, asked: str) -> str:
    """Return what the language model is given: a text of at most `RESPONSE_CHARACTERS`, and a question."""
    return f"Text: {text[:RESPONSE_CHARACTERS]}\n\nRead the text and answer the question.\n\n{asked}"


def parse_formats(text: str) -> tuple[str, ...]:
    """Read names of formats separated by commas; an unknown one, and one named twice, are UserErrors."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in FORMATS:
            raise UserError(f"-J formats={text}: unknown format {name!r}{did_you_mean(name, [*FORMATS])}")
    if len(set(names)) != len(names):
        raise UserError(f"-J formats={text}: names a format twice")
    return names
