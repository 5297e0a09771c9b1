"""The singular of an English noun as the library pattern spells it, which the reference CHAIR program uses.

The rules are those of `textblob.inflect.singularize`, a copy of pattern's (De Smedt and Daelemans 2012, BSD licence).
They are stored in `singular.json` by `python -m eidolon.scorers.text.singular`, because importing textblob takes a
second. A test compares the two.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

RULES = "singular.json"


@dataclass(frozen=True, slots=True)
class SingularRules:
    """What the file holds."""

    textblob: str
    """The version of textblob that the rules are from."""
    prepositions: list[str]
    """Words after the noun of a compound: "mothers-in-law"."""
    unchanged: list[str]
    """Nouns that are their own singular. So is every word that one of them ends with."""
    ie: list[str]
    """Nouns in "ie", whose plural has an "s"."""
    s: list[str]
    """Nouns in "s", whose plural has an "es"."""
    irregular: dict[str, str]
    """Plural → singular, also as the end of a longer word."""
    endings: list[tuple[str, str]]
    """Patterns with what replaces them. The first that matches counts."""


class Singularizer:
    """Returns the singular of a word."""

    def __init__(self, rules: SingularRules) -> None:
        self._prepositions = frozenset(rules.prepositions)
        self._unchanged = frozenset(
            word[first:] for word in rules.unchanged for first in range(len(word) + 1)
        )
        self._added = tuple((noun + "s", noun) for noun in rules.ie) + tuple(
            (noun + "es", noun) for noun in rules.s
        )
        self._added_ends = tuple(plural for plural, _ in self._added)
        self._irregular = rules.irregular
        self._irregular_ends = tuple(rules.irregular)
        self._endings = [(re.compile(pattern), other) for pattern, other in rules.endings]
        # Most patterns end with a letter, so that few can match a word.
        self._by_last = {
            letter: [
                (pattern, other)
                for pattern, other in self._endings
                if not pattern.pattern[-2:-1].isalpha()
                or pattern.pattern[-1] != "$"
                or pattern.pattern[-2] == letter
            ]
            for letter in "abcdefghijklmnopqrstuvwxyz"
        }

    def __call__(self, word: str) -> str:
        """Return the singular; the word itself where no rule applies."""
        if "-" in word:
            first, second, *more = word.split("-")
            if second in self._prepositions:
                return "-".join((self(first), second, *more))
        if word.endswith("'"):
            return self(word[:-1]) + "'s"
        lower = word.lower()
        if lower in self._unchanged:
            return word
        if lower.endswith(self._added_ends):
            return next(noun for plural, noun in self._added if lower.endswith(plural))
        if lower.endswith(self._irregular_ends):
            plural = next(plural for plural in self._irregular if lower.endswith(plural))
            return re.sub(f"(?i){plural}$", self._irregular[plural], word)
        rules = self._by_last.get(lower[-1]) if word.isascii() else None
        for pattern, other in self._endings if rules is None else rules:
            if (match := pattern.search(word)) is not None:
                for number, group in enumerate(match.groups(), 1):
                    if group is None:
                        other = other.replace(f"\\{number}", "")
                return pattern.sub(other, word)
        return word


@cache
def singularizer() -> Singularizer:
    """Return the singulariser, made once."""
    stored = json.loads((files("eidolon.scorers.text") / "data" / RULES).read_text(encoding="utf-8"))
    return Singularizer(SingularRules(**stored))


def textblob_rules() -> dict[str, Any]:
    """Return the content of the file, from the installed textblob."""
    from importlib.metadata import version

    from textblob.en import inflect

    return {
        "textblob": version("textblob"),
        "prepositions": inflect.plural_prepositions,
        "unchanged": [*inflect.singular_uninflected, *inflect.singular_uncountable],
        "ie": inflect.singular_ie,
        "s": inflect.singular_s,
        "irregular": inflect.singular_irregular,
        "endings": [(pattern.pattern, other) for pattern, other in inflect.singular_rules],
    }


def main() -> None:
    """Write the file again."""
    from pathlib import Path

    path = Path(__file__).parent / "data" / RULES
    path.write_text(json.dumps(textblob_rules(), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
