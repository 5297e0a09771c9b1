"""The scene graph of a caption: its objects, their attributes, and relations of two objects, by rules without a parser.

This is our own instrument. The graphs of CAPTURE (Dong et al. 2024) come from a trained parser, so that scores from the
two differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from eidolon.scorers.core.types import Mention
from eidolon.scorers.judges.noun_readers import Noun, NounReader
from eidolon.scorers.text.claims import find_claims
from eidolon.scorers.text.english import AUXILIARIES, words
from eidolon.scorers.text.tagged import Token, tag

PARSER = "1"
"""Version of the rules, for signatures."""
LONGEST_RELATION = 6
"""Most words between two nouns that are in a relation."""

_ENDS = frozenset(".!?;,:")
_BETWEEN_MODIFIERS = words("and ,")
_OPENERS = ("DT", "JJ", "CD", "PRP$", "POS", "WP$")
_MODIFIERS = ("JJ", "VBN")
_PREDICATES = ("IN", "TO", "VB", "RP")
_QUANTITIES = words("many several few other such same various numerous multiple own")


@dataclass(frozen=True, slots=True)
class Graph:
    """What a caption says."""

    objects: tuple[str, ...]
    attributes: Mapping[str, tuple[str, ...]]
    """By object."""
    relations: tuple[tuple[str, str, str], ...]
    """Subject, relation, object."""


class CaptionParser:
    """Reads graphs by the tags of words.

    Objects are the nouns of the judge `nouns`. Attributes are the adjectives and participles before an object, and the
    colours that `text.claims` finds behind it. A relation is the words between two nouns of a clause that hold a
    preposition or a verb.
    """

    def __init__(self, nouns: NounReader) -> None:
        self._nouns = nouns

    def signature(self) -> str:
        """Return the method's name, its version, and how nouns are found."""
        return f"rules/{PARSER}:{self._nouns.signature()}"

    def parse(self, texts: Sequence[str]) -> list[Graph]:
        """Return the graph of each text, in order."""
        return [
            _graph(text, nouns) for text, nouns in zip(texts, self._nouns.read_all(list(texts)), strict=True)
        ]


def _graph(text: str, nouns: Sequence[Noun]) -> Graph:
    tokens = tag(text)
    attributes: dict[str, dict[str, None]] = {}
    for noun in nouns:
        for modifier in _modifiers(tokens, noun):
            attributes.setdefault(noun.lemma, {})[modifier] = None
    mentions = [
        Mention(category=n.lemma, text=text[n.start : n.end], start=n.start, end=n.end, word=0) for n in nouns
    ]
    for claim in find_claims(text, mentions):
        if claim.kind == "colour":
            attributes.setdefault(claim.mention.category, {})[claim.value] = None
    relations = dict.fromkeys(
        (one.lemma, said, other.lemma)
        for one, other in pairwise(nouns)
        if (said := _between(tokens, one, other)) is not None
    )
    return Graph(
        tuple(dict.fromkeys(noun.lemma for noun in nouns)),
        {name: tuple(found) for name, found in attributes.items()},
        tuple(relations),
    )


def _modifiers(tokens: Sequence[Token], noun: Noun) -> list[str]:
    """Return the adjectives and participles directly before a noun, the nearest first."""
    found = []
    for token in reversed([t for t in tokens if t.end <= noun.start]):
        if token.tag.startswith(_MODIFIERS) and token.text not in _QUANTITIES:
            found.append(token.text)
        elif token.text not in _BETWEEN_MODIFIERS or not found:
            break
    return found


def _between(tokens: Sequence[Token], one: Noun, other: Noun) -> str | None:
    """Return what relates two nouns that follow each other, None if nothing does."""
    between = [t for t in tokens if one.end <= t.start and t.end <= other.start]
    if any(t.text in _ENDS or t.text == "and" for t in between) or len(between) > LONGEST_RELATION:
        return None
    while between and (between[-1].tag.startswith(_OPENERS) or between[-1].is_noun):
        between = between[:-1]
    said = [t for t in between if t.tag != "DT" and t.text not in AUXILIARIES]
    if not any(t.tag.startswith(_PREDICATES) for t in said):
        return None
    return " ".join(t.text for t in said)
