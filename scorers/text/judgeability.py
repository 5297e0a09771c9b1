"""Whether rules for English can read a response. A heuristic without models or downloads."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from eidolon.scorers.text.english import FUNCTION_WORDS, words

Judgeability: TypeAlias = Literal["ok", "empty", "refusal", "non_english"]

MAX_REFUSAL_WORDS = 60
"""A longer text that begins with an apology describes something after it."""
MIN_LATIN_SHARE = 0.5
MIN_FOREIGN_WORDS = 2
MIN_ACCENTED_SHARE = 0.15
"""Share of words with other letters than a to z from which a text without any English function word is foreign."""

CACHED = 1024
"""Texts whose class is remembered: a batch is classified when it is judged, and again when it is counted."""
LONGEST_CACHED = 1_000
"""Characters of the longest text whose class is remembered, so that 1,024 of them stay small."""

_WORD = re.compile(r"[^\W\d_]+")

_CANNOT = (
    r"i (?:cannot|can ?not|can['\u2019]?t|do not|don['\u2019]?t|am not|could not|couldn['\u2019]?t"
    r"|will not|won['\u2019]?t) (?:\w+ ){0,2}?"
)
_REFUSAL_OPENINGS = (
    r"i ?(?:['\u2019]? ?a?m) (?:(?:very|so|really) )?(?:sorry|afraid|unable|not able)\b",
    r"sorry\b",
    r"(?:my )?apologies\b",
    r"i apologi[sz]e\b",
    r"(?:unfortunately,? )?"
    + _CANNOT
    + r"(?:(?:see|view) (?:\w+ )?(?:image|picture|photo)|have (?:\w+ )?(?:ability|access|capabilit)"
    r"|assist|help|identify|describe|provide|process|analy[sz]e|comply|fulfill?|answer|access|determine)",
    r"as an? (?:\w+ ){0,2}?(?:ai|language model|assistant)\b",
    r"(?:unfortunately,? )?(?:there (?:is|was) )?no image (?:\w+ ){0,2}?"
    r"(?:provided|attached|uploaded|given)\b",
    r"please (?:provide|upload|share|attach)\b",
)
_REFUSAL = re.compile(r"\W*(?:" + "|".join(_REFUSAL_OPENINGS) + ")", re.IGNORECASE)
_GOES_ON = re.compile(
    r"\b(?:(?:but|however)\b.{0,30}\b(?:i|it|the|there|this)\b.{0,40}"
    r"\b(?:can|see|shows?|appears?|depicts?|is|are|features?|describe|has|contains?)"
    r"|(?:the|this)\s(?:image|picture|photo)\s(?:shows?|depicts?|features?))\b",
    re.IGNORECASE | re.DOTALL,
)

_ASCII_WORDS = {code: chr(code).lower() if chr(code).isalpha() else " " for code in range(128)}
"""Letters → lower case, all other ASCII characters → space."""

# Function words of other languages in Latin script that are no English words.
_FOREIGN = words(
    """
    un una el la las los del en es está están hay que por para con sobre su sus unos unas y
    le les des du est sont une dans avec sur il elle et qui au aux sont
    der das und ist ein eine einem einen einer mit auf von zu im sind den dem auch
    il gli di che uno sono nel nella della del ci
    um uma os na em com são está ao da dos das
    het een van met op zijn er de
    och ett är med av som på det
    dan yang di ini itu sebuah seekor dengan pada
    jest są na z w się ve bir
    """
)


def classify(text: str) -> Judgeability:
    """Return the class of a response: readable, empty (no letter or digit in it), a refusal, or not English.

    Short captions without function words ("two dogs") are readable. A text is foreign only if most of its letters are
    not Latin, or if its function words or accented letters are foreign and outnumber the English function words.
    """
    return _remembered(text) if len(text) <= LONGEST_CACHED else _class(text)


@lru_cache(CACHED)
def _remembered(text: str) -> Judgeability:
    return _class(text)


def _class(text: str) -> Judgeability:
    if not any(character.isalnum() for character in text):
        return "empty"
    if _is_foreign(text):
        return "non_english"
    if _is_refusal(text):
        return "refusal"
    return "ok"


def _is_refusal(text: str) -> bool:
    opening = _REFUSAL.match(text[:400])
    if opening is None or len(text.split(maxsplit=MAX_REFUSAL_WORDS + 1)) > MAX_REFUSAL_WORDS:
        return False
    return _GOES_ON.search(text, opening.end()) is None


def _is_foreign(text: str) -> bool:
    if text.isascii():
        words = text.translate(_ASCII_WORDS).split()
        # Without accents, a text is foreign by its function words alone. Most texts have no foreign ones.
        return not _FOREIGN.isdisjoint(words) and _has_foreign_words(words)
    letters = [character for character in text if character.isalpha()]
    if not letters:
        return False
    latin = sum(_is_latin(character) for character in letters)
    if latin / len(letters) < MIN_LATIN_SHARE:
        return True
    words = [word.lower() for word in _WORD.findall(text)]
    if _has_foreign_words(words):
        return True
    english = sum(word in FUNCTION_WORDS for word in words)
    accented = sum(not word.isascii() for word in words)
    return english == 0 and accented >= MIN_FOREIGN_WORDS and accented / len(words) >= MIN_ACCENTED_SHARE


def _has_foreign_words(words: Sequence[str]) -> bool:
    """Tell whether words in lower case have several foreign function words, and more of them than English ones."""
    foreign = sum(word in _FOREIGN for word in words)
    return foreign >= MIN_FOREIGN_WORDS and foreign > sum(word in FUNCTION_WORDS for word in words)


def _is_latin(character: str) -> bool:
    """Tell whether a letter is in the Latin blocks up to Extended-B, Extended Additional or fullwidth."""
    return character < "\u0250" or "\u1e00" <= character <= "\u1eff" or "\uff21" <= character <= "\uff5a"
