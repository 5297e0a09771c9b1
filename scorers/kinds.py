"""Responses that are no description: empty, refusals, other languages, cut off.

These are counted beside the scores and never change them: a model that refuses often has a low CHAIR, and the
reader should see why. The rules are surface rules for English and meant for counting, not for filtering.
"""

import re
from collections.abc import Iterable

from eidolon.scorers.types import Response

_REFUSAL = re.compile(
    r"""^\W*(?:unfortunately,?\s+|sorry,?\s+(?:but\s+)?)?(?:
        (?:i\ am|i'm)\ sorry,?\s+(?:but|i)\b
      | i\ apologi[sz]e
      | as\ an\ (?:ai|artificial\ intelligence)\b
      | (?:i\ am|i'm)\ (?:just\ )?an?\ (?:ai|(?:large\ )?language\ model)\b
      | i\ (?:cannot|can\ not|can't|am\ unable\ to|am\ not\ able\ to|do\ not\ have\ the\ ability\ to)\ (?:
            (?:help|assist|comply|answer|fulfil)
          | (?:see|view|access|open|describe|process|analy[sz]e|interpret)\ (?:the|this|that|your|any|an)?\s*
            (?:images?|pictures?|photos?|photographs?|visual)\b )
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_ENGLISH = re.compile(r"\b(?:the|and|of|is|are|with|there|on|this|that|it|to)\b", re.IGNORECASE)
_OTHER_LANGUAGES = re.compile(
    r"""\b(?:der|das|und|ist|ein|eine|mit|auf|den|dem|le|les|des|une|est|et|dans|avec|sur|du|el|los|las|una
    |con|en|del|il|che|di|della|sono|um|uma|com|het|een|van|op)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_LETTERS = re.compile(r"[^\W\d_]")


def is_empty(text: str) -> bool:
    """Return whether the response has no visible character."""
    return not text.strip()


def is_refusal(text: str) -> bool:
    """Return whether the response opens by declining ("I'm sorry, but I cannot see the image")."""
    return _REFUSAL.match(text.replace("\u2019", "'")) is not None


def is_non_english(text: str) -> bool:
    """Return whether most letters are not Latin, or the function words are another language's."""
    letters = _LETTERS.findall(text)
    if not letters:
        return False
    if sum(letter < "\u0250" for letter in letters) * 2 < len(letters):
        return True
    other = len(_OTHER_LANGUAGES.findall(text))
    return other * 10 >= len(text.split()) and other > len(_ENGLISH.findall(text))


def count_kinds(responses: Iterable[Response]) -> dict[str, int]:
    """Return how many responses are empty, refusals, not English, and cut off at the token limit."""
    counts = {"empty": 0, "refusals": 0, "non_english": 0, "truncated": 0}
    for response in responses:
        text = response.response or ""
        counts["empty"] += is_empty(text)
        counts["refusals"] += is_refusal(text)
        counts["non_english"] += is_non_english(text)
        counts["truncated"] += response.finish_reason == "length"
    return counts
