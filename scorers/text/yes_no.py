"""Policies that read an answer to a yes/no question. Published programs use different ones, with different scores.

A policy returns True for yes, False for no, and None for an answer that it cannot read.
"""

import re
from collections.abc import Callable

from eidolon.scorers.core.errors import UserError, did_you_mean

Policy = Callable[[str], bool | None]

_WORD = re.compile(r"[^\W_]+")
_FINAL_MARKS = ".!?,;:\u3002\uff01"


def original(answer: str) -> bool:
    """Read an answer as POPE's own program does.

    It is a no if `No`, `not` or `no` is a piece of the first sentence, else a yes. The sentence ends at the first
    full stop, commas are deleted, and pieces are separated by single spaces. So "NO", "No!" and the empty answer are
    a yes (Li et al., EMNLP 2023, the released evaluation).
    """
    first = answer.partition(".")[0].replace(",", "")
    return not {"No", "not", "no"} & set(first.split(" "))


def exact(answer: str) -> bool | None:
    """Read only the words yes and no, in any case and with any white space around them."""
    return {"yes": True, "no": False}.get(answer.strip().lower())


def lenient(answer: str) -> bool | None:
    """Read an answer that contains either the word yes or the word no, but not both."""
    words = set(_WORD.findall(answer.lower()))
    return "yes" in words if ("yes" in words) != ("no" in words) else None


def strict(answer: str) -> bool | None:
    """Read only the words yes and no, in any case and with any punctuation after them."""
    return exact(answer.strip().rstrip(_FINAL_MARKS))


POLICIES: dict[str, Policy] = {"original": original, "exact": exact, "lenient": lenient, "strict": strict}


def find_policy(name: str) -> Policy:
    """Return a policy by name.

    Raises:
        UserError: no policy has this name.
    """
    if name not in POLICIES:
        raise UserError(f"unknown policy {name!r}{did_you_mean(name, [*POLICIES])}")
    return POLICIES[name]
