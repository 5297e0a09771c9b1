"""Made-up names for signs, in families of look-alikes, split so that training and test share no name and no family."""

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np

Kind = Literal["beginning", "letter", "order", "alone"]
"""How the names of a family look alike: the same first letters, one letter off, the same letters in another order; or
not at all."""
KINDS: tuple[Kind, ...] = get_args(Kind)
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
FAMILIES: dict[Part, int] = {"train": 96, "validation": 16, "test": 32}
"""Number of families in each part, as many of each kind."""
MEMBERS = 4
SHARED_BEGINNING = 4
NAMES_SEED = 5001
LONGEST = 10
"""Letters of the longest name."""

_ONSETS = ("B", "BR", "D", "DR", "F", "FL", "G", "GR", "H", "J", "K", "KL", "L", "M", "N", "P", "PL", "QU", "R", "S",
           "SK", "ST", "T", "TR", "V", "W", "Z")  # fmt: skip
_VOWELS = ("A", "E", "I", "O", "U", "Y", "AU", "EI", "OO")
_ENDS = ("", "", "L", "N", "R", "S", "T", "X", "CK", "LT", "ND", "RN")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class SignName:
    """A name that a sign may bear, and its family."""

    name: str
    family: int
    kind: Kind
    part: Part


@cache
def sign_names() -> tuple[SignName, ...]:
    """Return all names, family by family. They are always the same, and no two are equal.

    No two families have the same first letters, and a family belongs to one part.
    """
    rng = np.random.default_rng(NAMES_SEED)
    found: list[SignName] = []
    beginnings: set[str] = set()
    taken: set[str] = set()
    family = 0
    for part in PARTS:
        for number in range(FAMILIES[part]):
            kind = KINDS[number % len(KINDS)]
            while True:
                names = _family(kind, rng)
                starts = {name[:SHARED_BEGINNING] for name in names}
                if len(set(names)) == MEMBERS and not starts & beginnings and not taken & set(names):
                    break
            beginnings |= starts
            taken |= set(names)
            found += [SignName(name, family, kind, part) for name in names]
            family += 1
    return tuple(found)


def names_of(part: Part) -> tuple[SignName, ...]:
    """Return the names of one part."""
    return tuple(name for name in sign_names() if name.part == part)


def make_up(rng: np.random.Generator, most: int = LONGEST) -> str:
    """Return a name for pre-training with at most that many letters, which is none of `sign_names`.

    Half of them can be pronounced; the others are random letters, so that a reader cannot guess letters from others.
    """
    known = _known()
    while True:
        if rng.random() < 0.5:
            name = _word(rng, min(3, most), most)
        else:
            name = "".join(rng.choice(list(_LETTERS), rng.integers(min(3, most), most + 1)))
        if name not in known:
            return name


@cache
def _known() -> frozenset[str]:
    return frozenset(name.name for name in sign_names())


def _syllable(rng: np.random.Generator) -> str:
    return "".join(str(rng.choice(letters)) for letters in (_ONSETS, _VOWELS, _ENDS))


def _word(rng: np.random.Generator, least: int, most: int) -> str:
    while True:
        word = "".join(_syllable(rng) for _ in range(rng.integers(1, 4)))
        if least <= len(word) <= most:
            return word


def _family(kind: Kind, rng: np.random.Generator) -> list[str]:
    """Return the names of a new family; they may be equal by chance."""
    if kind == "alone":
        return [_word(rng, 4, 9) for _ in range(MEMBERS)]
    if kind == "beginning":
        root = _word(rng, SHARED_BEGINNING, 6)[:SHARED_BEGINNING]
        return [root + _word(rng, 1, 6) for _ in range(MEMBERS)]
    word = _word(rng, 5, 8)
    names = [word]
    for _ in range(MEMBERS - 1):
        letters = list(word)
        if kind == "letter":
            letters[rng.integers(len(letters))] = _LETTERS[rng.integers(len(_LETTERS))]
        else:
            rng.shuffle(letters)
        names.append("".join(letters))
    return names
