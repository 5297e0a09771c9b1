"""What a text says of the objects that it names: their colour, their number, where they are, and relations of two.

The claims are read by rules around the mentions of a judge, sentence by sentence, without a parser:

- colour: a colour word before the object in its noun phrase ("two small red cups"), after a form of "be" ("the cup is
  red"), or for people after "in" and "wearing". Two colours of one object are no claim;
- count: a numeral of the noun phrase ("two cups", "a pair of scissors"). An article is no claim, and neither are
  "several" and a bare plural;
- side: left, middle or right of the picture, of the nearest object before, else after;
- relation: "to the left of", "to the right of", "above" and "below" before an object, of the nearest object before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eidolon.scorers.core.types import Mention
from eidolon.scorers.text.english import AUXILIARIES, PREPOSITIONS, words

ClaimKind = Literal["colour", "count", "side", "relation"]
KINDS: tuple[ClaimKind, ...] = ("colour", "count", "side", "relation")

COLOURS = {
    **{
        name: name
        for name in ("red", "blue", "green", "yellow", "purple", "pink", "brown", "black", "white", "grey")
    },
    "gray": "grey",
    "orange": "orange",
}
"""Colour words, and the name of each colour."""
NUMERALS = {
    name: number
    for number, names in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=1
    )
    for name in (names, str(number))
}
LONGEST_PHRASE = 6
"""Words of a noun phrase before its object that are looked at."""

_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?\n]+(?=\s|$)|\n")
_BE = words("is are was were looks look appears appear seems seem")
_DEGREES = words(
    "all mostly quite very entirely completely bright brightly dark light also painted coloured colored"
)
_CLOTHED = words("in wearing wears wear dressed")
_PAIR = words("pair pairs")
_STOPS = PREPOSITIONS | AUXILIARIES | words("or but while with there")
_ARTICLES = words("a an the this that its his her their")
_PICTURE = r"(?:image|picture|frame|photo|photograph|scene|drawing|view)"
_SIDE = re.compile(
    r"\b(?:on|at|in|to|towards?|along)\s+the\s+(?:(?:far|very|lower|upper|bottom|top)\s+)?"
    r"(?P<side>left|right|middle|cent(?:er|re))\b",
    re.IGNORECASE,
)
_RELATION = re.compile(
    r"\b(?:(?:to|on)\s+the\s+(?P<side>left|right)(?:\s+side)?\s+of|(?P<height>above|below|beneath|underneath))\s+",
    re.IGNORECASE,
)
_OF_PICTURE = re.compile(rf"\s*(?:the|this)\s+{_PICTURE}\b", re.IGNORECASE)
_HEIGHTS = {"above": "above", "below": "below", "beneath": "below", "underneath": "below"}


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that a text says of an object."""

    kind: ClaimKind
    mention: Mention
    """The object that the claim is about."""
    value: str
    """A colour, a number, `left`, `middle` or `right`, or `left`, `right`, `above` or `below` of another object."""
    other: Mention | None = None
    """The other object of a relation."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int


def find_claims(text: str, mentions: Sequence[Mention]) -> list[Claim]:
    """Return the claims about the mentions that have a place in the text, in the order of the sentences."""
    placed = sorted((m for m in mentions if m.text), key=lambda m: m.start)
    claims: list[Claim] = []
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        inside = [m for m in placed if start <= m.start < end]
        if inside:
            claims += _of_sentence(text, start, end, inside)
        start = end
    return claims


def _of_sentence(text: str, start: int, end: int, mentions: Sequence[Mention]) -> list[Claim]:
    tokens = [_Token(m[0].lower(), m.start(), m.end()) for m in _TOKEN.finditer(text, start, end)]
    claims: list[Claim] = []
    for mention in mentions:
        claims += _of_phrase(tokens, mention, mentions)
    relations, taken = _relations(text, start, end, mentions)
    return claims + _sides(text, start, end, mentions, relations, taken) + relations


def _of_phrase(tokens: Sequence[_Token], mention: Mention, mentions: Sequence[Mention]) -> list[Claim]:
    """Return colour and number of one object."""
    before = [t for t in tokens if t.end <= mention.start][-LONGEST_PHRASE:]
    after = [t for t in tokens if t.start >= mention.end]
    others = [m for m in mentions if m is not mention]
    colours, number = _premodifiers(before, others)
    if not colours:
        colours = _predicate(after) or (_clothes(after) if mention.category == "person" else [])
    claims = [Claim("colour", mention, colours[0])] if len(set(colours)) == 1 else []
    if number is not None:
        claims.append(Claim("count", mention, str(number)))
    return claims


def _premodifiers(before: Sequence[_Token], others: Sequence[Mention]) -> tuple[list[str], int | None]:
    """Return the colours and the numeral of the noun phrase that ends with the tokens."""
    colours: list[str] = []
    tokens = list(before)
    if len(tokens) >= 2 and tokens[-1].text == "of" and tokens[-2].text in _PAIR:
        number = tokens[-3].text if len(tokens) > 2 else ""
        return [], NUMERALS.get(number, 1 if number in ("a", "the") and tokens[-2].text == "pair" else None)
    while tokens:
        token = tokens.pop()
        if any(m.start < token.end and token.start < m.end for m in others) and token.text not in COLOURS:
            break
        if token.text in NUMERALS:
            return colours, NUMERALS[token.text]
        if token.text in COLOURS:
            colours.append(COLOURS[token.text])
        elif token.text == "of" and tokens and tokens[-1].text in _PAIR:
            return colours, _premodifiers([*tokens, token], others)[1]
        elif token.text == "and" and tokens and tokens[-1].text in COLOURS:
            continue
        elif (
            token.text in _ARTICLES
            or token.text in _STOPS
            or token.text == "and"
            or not token.text[0].isalnum()
        ):
            break
    return colours, None


def _predicate(after: Sequence[_Token]) -> list[str]:
    """Return the colour behind a form of `be` that follows the object at once."""
    words_after = [t.text for t in after[:6]]
    if not words_after or words_after[0] not in _BE:
        return []
    rest = words_after[1:]
    while rest and rest[0] in _DEGREES:
        rest = rest[1:]
    if not rest or rest[0] not in COLOURS:
        return []
    joined = len(rest) > 2 and rest[1] == "and" and rest[2] in COLOURS
    return [COLOURS[rest[0]], COLOURS[rest[2]]] if joined else [COLOURS[rest[0]]]


def _clothes(after: Sequence[_Token]) -> list[str]:
    """Return the colour in which a person is dressed."""
    words_after = [t.text for t in after[:6]]
    if not words_after or words_after[0] not in _CLOTHED:
        return []
    rest = words_after[1:]
    while rest and rest[0] in ("in", "a", "an", "all", "dark", "light", "bright"):
        rest = rest[1:]
    return [COLOURS[rest[0]]] if rest and rest[0] in COLOURS else []


def _relations(
    text: str, start: int, end: int, mentions: Sequence[Mention]
) -> tuple[list[Claim], list[tuple[int, int]]]:
    """Return the relations of a sentence, and the places of the words that say them."""
    claims: list[Claim] = []
    taken: list[tuple[int, int]] = []
    for match in _RELATION.finditer(text, start, end):
        if match["side"] and _OF_PICTURE.match(text, match.end()):
            continue
        taken.append(match.span())
        other = next((m for m in mentions if m.start >= match.end()), None)
        between = "" if other is None else text[match.end() : other.start]
        if other is None or len(between.split()) > 3 or re.search(r"[,;:]", between):
            continue
        subject = next((m for m in reversed(mentions) if m.end <= match.start() and m is not other), None)
        if subject is not None:
            value = (match["side"] or _HEIGHTS[match["height"].lower()]).lower()
            claims.append(Claim("relation", subject, value, other))
    return claims, taken


def _sides(
    text: str,
    start: int,
    end: int,
    mentions: Sequence[Mention],
    relations: Sequence[Claim],
    taken: Sequence[tuple[int, int]],
) -> list[Claim]:
    """Return where in the picture the objects of a sentence are."""
    objects = [claim.other for claim in relations]
    subjects = [m for m in mentions if m not in objects]
    claims = []
    for match in _SIDE.finditer(text, start, end):
        if any(a < match.end() and match.start() < b for a, b in taken):
            continue
        before = [m for m in subjects if m.end <= match.start()]
        subject = before[-1] if before else next((m for m in subjects if m.start >= match.end()), None)
        if subject is not None:
            side = match["side"].lower()
            claims.append(Claim("side", subject, "middle" if side.startswith("cent") else side))
    return claims
