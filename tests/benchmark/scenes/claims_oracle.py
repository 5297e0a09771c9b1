"""Sentences of Scenes with the claims that they make, known from how they were written."""

import copy
from dataclasses import dataclass

import numpy as np

from eidolon.benchmark.scenes import text
from eidolon.benchmark.scenes.scene import Dials, Thing, make_scene

RELATIONS = {"to the left of": "left", "to the right of": "right", "above": "above", "below": "below"}
SIDES = {"on the left side": "left", "on the right side": "right", "in the middle": "middle"}
Said = tuple[str, str, str, str]
"""Kind, category, value, and the category of the other object."""


@dataclass(frozen=True)
class LabelledSentence:
    """A sentence, and everything that it claims."""

    text: str
    said: list[Said]


def sentences(n: int, seed: int = 0) -> list[LabelledSentence]:
    """Return about `n` sentences that introduce one object, several, or say something again."""
    rng = np.random.default_rng(seed)
    found: list[LabelledSentence] = []
    index = 0
    while len(found) < n:
        scene = make_scene(seed, index, Dials(plural=0.5))
        index += 1
        things = [scene.things[i] for i in rng.permutation(len(scene.things))]
        found.append(_introduced(things[0], things[1:2], rng))
        found.append(_listed(things[:3], rng))
        found.append(_said_again(things[0], things[:3], rng))
    return found


def _introduced(thing: Thing, named: list[Thing], rng: np.random.Generator) -> LabelledSentence:
    sentence = text.introduce(thing, named, rng)
    side = next(value for phrase, value in SIDES.items() if phrase in sentence.lower())
    said = [*_phrase_claims(thing, sentence), ("side", thing.category, side, "")]
    return LabelledSentence(sentence, said + _relation_claims(thing, named, sentence))


def _listed(things: list[Thing], rng: np.random.Generator) -> LabelledSentence:
    same = copy.deepcopy(rng)
    phrases = [text.noun_phrase(thing, same) for thing in things]
    sentence = text.introduce_several(things, rng)
    assert all(phrase in sentence for phrase in phrases)
    said = [claim for t, phrase in zip(things, phrases, strict=True) for claim in _phrase_claims(t, phrase)]
    return LabelledSentence(sentence, said)


def _said_again(thing: Thing, named: list[Thing], rng: np.random.Generator) -> LabelledSentence:
    sentence = text._say_again(thing, named, list(text.LEADS), rng)
    said = [("side", thing.category, value, "") for phrase, value in SIDES.items() if phrase in sentence]
    if thing.colour and sentence.rstrip(".").endswith(f" {thing.colour}"):
        said.append(("colour", thing.category, thing.colour, ""))
    return LabelledSentence(sentence, said + _relation_claims(thing, named, sentence))


def _phrase_claims(thing: Thing, phrase: str) -> list[Said]:
    padded = f" {phrase.lower()} ".replace(",", " ").replace(".", " ")
    said: list[Said] = []
    if thing.colour and f" {thing.colour} " in padded:
        said.append(("colour", thing.category, thing.colour, ""))
    if thing.count > 1 or thing.category == "scissors":
        said.append(("count", thing.category, str(thing.count), ""))
    return said


def _relation_claims(thing: Thing, named: list[Thing], sentence: str) -> list[Said]:
    for phrase, value in RELATIONS.items():
        for other in named:
            names = {other.category, text.CATEGORIES[other.category].plural}
            if any(f" {phrase} the {name}." in sentence for name in names):
                return [("relation", thing.category, value, other.category)]
    return []
