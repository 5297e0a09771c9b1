"""Policies that read an answer to a yes/no question. Published programs use different ones, with different scores.

A policy returns True for yes, False for no, and None for an answer that it cannot read. None of them reads reasoning.
The programs' own ones, `original` and `evalscope`, read the rest as it is; the others leave out markup too.
"""

import re
from collections.abc import Callable, Mapping
from math import exp, inf
from typing import Literal

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.text.answer import RAW, TextRules, answer_text

Policy = Callable[[str], bool | None]

_WORD = re.compile(r"[^\W_]+")
_CAPITAL_WORD = re.compile(r"\b(Yes|YES|No|NO)\b")
_FINAL_MARKS = ".!?,;:\u3002\uff01"


def original(answer: str) -> bool:
    """Read an answer as POPE's own program does.

    It is a no if `No`, `not` or `no` is a piece of the first sentence, else a yes. The sentence ends at the first
    full stop, commas are deleted, and pieces are separated by single spaces. So "NO", "No!" and the empty answer are
    a yes (Li et al., EMNLP 2023, the released evaluation).
    """
    first = answer_text(answer, clean=False).partition(".")[0].replace(",", "")
    return not {"No", "not", "no"} & set(first.split(" "))


def exact(answer: str) -> bool | None:
    """Read only the words yes and no, in any case and with any white space around them."""
    return _word(answer_text(answer))


def lenient(answer: str) -> bool | None:
    """Read an answer that contains either the word yes or the word no, but not both."""
    words = set(_WORD.findall(answer_text(answer).lower()))
    return "yes" in words if ("yes" in words) != ("no" in words) else None


def strict(answer: str) -> bool | None:
    """Read only the words yes and no, in any case and with any punctuation after them."""
    return _word(answer_text(answer).rstrip(_FINAL_MARKS))


def evalscope(answer: str) -> bool | None:
    """Read an answer that contains either Yes or No as a word, but not both (evalscope 1.14).

    The word is capitalised or in capitals, or in lower case with at most one mark after it if it is the whole answer.
    """
    text = answer_text(answer, clean=False)
    bare = text[:-1] if text[-1:] in (".", "!", "?") else text
    if bare in ("yes", "no"):
        return bare == "yes"
    words = {word.lower() for word in _CAPITAL_WORD.findall(text)}
    return "yes" in words if len(words) == 1 else None


def _word(text: str) -> bool | None:
    return {"yes": True, "no": False}.get(text.strip().lower())


POLICIES: dict[str, Policy] = {
    "original": original,
    "exact": exact,
    "lenient": lenient,
    "strict": strict,
    "evalscope": evalscope,
}
TOKEN_SETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tokens-2": (("Yes",), ("No",)),
    "tokens-8": (("Yes", "yes", " Yes", " yes"), ("No", "no", " No", " no")),
}
"""Policies that read no text but the probabilities of the first token: the tokens for yes and those for no. Which set
is used moves published scores by several points."""
POLICY_NAMES = (*POLICIES, *TOKEN_SETS)
_CLEANING = ("exact", "lenient", "strict")
"""Policies that read past markup. The others follow a program, or read no text."""


def read_answer(policy: str, answer: str, logprobs: Mapping[str, float] | None = None) -> bool | None:
    """Return the answer as a policy reads it: True for yes, False for no, None for neither.

    `logprobs` are log-probabilities of the first token, in nats, by token. A policy of `TOKEN_SETS` compares the sums
    of the probabilities of its two sets. It reads neither if they are equal, as where no token of either is listed.

    Raises:
        UserError: no policy has this name.
    """
    if policy in POLICIES:
        return POLICIES[policy](answer)
    check_policy(policy)
    yes, no = (
        sum(exp((logprobs or {}).get(token, -inf)) for token in tokens) for tokens in TOKEN_SETS[policy]
    )
    return None if yes == no else yes > no


def first_word_of_answer(answer: str) -> Literal["yes", "no"] | None:
    """Return the answer of a sentence: its first word if that is yes or no, else the only one of the two that it has.

    "No, there is no pizza here." is a no, and so is "There is no pizza." None where neither or both occur.
    """
    found = _WORD.findall(answer_text(answer).lower())
    named = [word for word in found if word in ("yes", "no")]
    if named and (found[0] == named[0] or len({*named}) == 1):
        return "yes" if named[0] == "yes" else "no"
    return None


def policy_rules(name: str) -> TextRules:
    """Return the rules from an answer to the text that a policy reads. A policy applies them itself."""
    return TextRules() if name in _CLEANING else RAW


def check_policy(name: str) -> None:
    """Check that there is a policy of this name.

    Raises:
        UserError: no policy has it.
    """
    if name not in POLICY_NAMES:
        raise UserError(f"unknown policy {name!r}{did_you_mean(name, POLICY_NAMES)}")
