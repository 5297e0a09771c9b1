"""The rating in the reply of a language model: `Rating: 4`."""

import re

RATINGS = range(7)
"""The ratings of MMHal-Bench (Sun et al. 2023), from 0."""

_STATED = re.compile(r"\brating\b\W{0,6}([0-9]+)(?![\w.,]*[0-9])", re.IGNORECASE)


def rating_by_letters(reply: str) -> int | None:
    """Return the rating as the released program of MMHal-Bench reads it, None unless there is exactly one.

    A rating s is there if the letters `rating: s` are, in any case: also in "Rating: 10", but not in "**Rating**: 1".
    """
    found = [s for s in RATINGS if f"rating: {s}" in reply.lower()]
    return found[0] if len(found) == 1 else None


def rating_by_words(reply: str) -> int | None:
    """Return the whole number that stands after the word rating, None unless it is one rating, the same everywhere.

    Up to six marks may stand between: "Rating: 1", "**Rating**: 1", "rating = 1".
    """
    found = {int(number) for number in _STATED.findall(reply)}
    return found.pop() if len(found) == 1 and found <= {*RATINGS} else None
