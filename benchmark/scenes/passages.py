"""Passages with known claims, on which judges are trained and tested.

A passage is a text about a scene. Additional sentences name other categories without claiming that they are there: they
deny them, only imagine them, or use a word that looks like their name. Some sentences that do claim an object contain
the same signal words (`not only`, `if you look closely`), so that no single word decides.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from textblob.inflect import pluralize

from eidolon.benchmark.scenes.scene import Scene, Thing
from eidolon.benchmark.scenes.text import article, caption, describe, noun, noun_phrase
from eidolon.benchmark.scenes.world import CATEGORIES
from eidolon.scorers.text.lexicon import load_lexicon

Split = Literal["train", "test"]
"""Which phrasings: judges are never trained on those of `test`."""
TrapKind = Literal["denied", "imagined", "look-alike"]
"""How a sentence names a category without claiming it."""

# {a}: a cat. {s}: cat. {pl}: cats. Capitals are for the start of a sentence. {b} and {bs}: a second category.
DENIALS: dict[Split, tuple[str, ...]] = {
    "train": (
        "There is no {s} in this picture.", "No {s} is visible.", "There are no {pl} here.",
        "I cannot see any {pl}.", "I can't see {a} anywhere.", "There isn't {a} to be seen.",
        "There aren't any {pl} around.", "The picture does not show {a}.", "It doesn't contain any {pl}.",
        "I see neither {a} nor {b}.", "There is neither {a} nor {b} in the frame.",
        "Not a single {s} can be found.", "Not one {s} appears in the image.", "The scene is without {pl}.",
        "The whole place is free of {pl}.", "{A} is nowhere to be found.", "{Pl} are absent.",
        "{Pl} are not part of this picture.", "{A} is missing here.", "What is missing is {a}.",
        "You will not find {a} here.", "You won't see any {pl} in it.", "I do not notice any {s}.",
        "Nobody drew {a} here.", "The artist left out {a}.", "The scene lacks {a}.",
        "Nothing here looks like {a}.", "There was never {a} in this place.", "I would not call any of this {a}.",
        "Is there {a}? No.", "No {pl} and no {bs} are shown.", "There is no sign of {a}.",
        "The image has no {pl} at all.", "Unlike other pictures, this one has no {s}.",
        "It would be wrong to say that there is {a}.", "Apart from that, no {s} can be made out.",
    ),
    "test": (
        "There is not any {s} in view.", "I don't see {a} in this drawing.", "Neither {a} nor {b} is visible.",
        "The frame contains no {pl}.", "No {s} can be spotted here.", "Not even {a} is shown.",
        "The image is lacking {a}.", "There are not any {pl} in the scene.",
    ),
}  # fmt: skip
IMAGININGS: dict[Split, tuple[str, ...]] = {
    "train": (
        "{A} would fit in well here.", "If there were {a}, the picture would be complete.",
        "One could imagine {a} nearby.", "Imagine {a} in the corner.", "It would be nice to add {a}.",
        "I wish there were {a}.", "Perhaps {a} was here before.", "Maybe {a} stands outside the frame.",
        "Someone may bring {a} later.", "{A} might appear at any moment.", "{A} could have been here.",
        "Usually one would expect {a} in such a place.", "Such scenes often include {a}.",
        "In another picture there may be {a}.", "It reminds me of {a}.", "The shadow looks like {a}.",
        "A cloud in the shape of {a} would be funny.", "A painter would have added {a}.",
        "The only thing it would need is {a}.", "As if {a} had just left, it is quiet.",
        "Were there {a}, I would mention it.", "Had somebody put {a} here, it would look different.",
        "It is the kind of place where you might meet {a}.", "Anyone would look for {a} here.",
        "{Pl} would make it livelier.", "With {a} it would be a different picture.",
        "Do you see {a}?", "I am not sure whether there is {a}.", "There could be {a} behind the wall.",
        "It is possible that {a} is hidden somewhere.", "One might think of {a}.",
        "There should be {a} in a place like this.",
    ),
    "test": (
        "It would look better with {a}.", "There might be {a} out of sight.", "If only there were {a}.",
        "I could picture {a} here.", "Perhaps there was once {a}.", "{A} would be a good addition.",
        "Maybe {a} will come along soon.", "One would like to see {a} here.",
    ),
}  # fmt: skip
AFFIRMATIONS: dict[Split, tuple[str, ...]] = {
    "train": (
        "There is not only {a} but more.", "Without a doubt there is {a}.", "Nobody can miss {a} here.",
        "It is hard not to notice {a}.", "If you look closely, you will find {a}.",
        "Perhaps the nicest part is {a}.", "Not far from the edge there is {a}.",
        "Instead of an empty wall there is {a}.", "There is nothing dull about it, for there is {a}.",
        "I would say that {a} can be seen.", "The picture does show {a}.",
        "It could hardly be clearer that {a} is here.",
        "What would this scene be without {a}?", "Nothing hides {a} here.", "No wall hides {a}.",
        "No doubt, {a} belongs to the scene.", "Is there {a}? Yes.", "I can't help looking at {a}.",
        "I am sure that there is {a}.", "It doesn't take long to find {a}.",
        "Here you see {a}, and not much else.", "One should not forget {a}.",
        "There may be few things, but {a} is one of them.",
    ),
    "test": (
        "You can't overlook {a} here.", "If I look again, I can see {a}.",
        "Not just one thing is here, I see {a} too.",
        "The scene would not be the same without {a}.",
    ),
}  # fmt: skip
LOOK_ALIKE_SENTENCES: dict[Split, tuple[str, ...]] = {
    "train": (
        "There is {x} in the picture.", "I can see {x} here.", "You can also find {x} on the left side.",
        "In the middle there is {x}.", "Here we have {x}.", "Behind it I notice {x}.", "{X} stands near the edge.",
        "It makes me think of {x}.",
    ),
    "test": ("Somewhere in the back there is {x}.", "The picture shows {x}."),
}  # fmt: skip
LOOK_ALIKES: dict[str, dict[Split, tuple[str, ...]]] = {
    "car": {"train": ("a carpet", "a cargo crate", "a cardboard box", "a shopping cart"), "test": ("a cartoon frame",)},
    "boat": {"train": ("a boathouse", "a life jacket"), "test": ("a boat-shaped cloud",)},
    "bicycle": {"train": ("a motorcycle", "a tricycle"), "test": ("a unicycle",)},
    "traffic light": {"train": ("a street light", "a flashlight", "a traffic cone"), "test": ("a traffic jam",)},
    "fire hydrant": {"train": ("a fire engine", "a fireplace", "a fire escape"), "test": ("a fire extinguisher",)},
    "stop sign": {"train": ("a stopwatch", "a shop sign", "a bus stop"), "test": ("a street sign",)},
    "bench": {"train": ("a benchmark chart", "a workbench"), "test": ("a bench press",)},
    "bird": {"train": ("a birdcage", "a birdhouse", "a bird's-eye view"), "test": ("a birdbath",)},
    "cat": {"train": ("a caterpillar", "a catalogue", "a cattle fence"), "test": ("a catapult",)},
    "umbrella": {"train": ("an umbrella stand", "an umbrella organisation"), "test": ("an umbrella-shaped roof",)},
    "sports ball": {"train": ("a balloon", "a ballroom", "a ballpoint pen"), "test": ("a ballet shoe",)},
    "surfboard": {"train": ("a blackboard", "a keyboard", "a skateboard"), "test": ("a cardboard sheet",)},
    "bottle": {"train": ("a bottle opener", "a bottle-green curtain"), "test": ("a bottleneck",)},
    "cup": {"train": ("a cupboard", "a world cup poster"), "test": ("a hiccup remedy",)},
    "fork": {"train": ("a fork in the road", "a forklift", "a pitchfork"), "test": ("a tuning fork",)},
    "knife": {"train": ("a knife-edge ridge", "a knife block"), "test": ("a knife-sharp line",)},
    "bowl": {"train": ("a bowler hat", "a bowling pin", "a bowling alley"), "test": ("a bowl-shaped valley",)},
    "banana": {"train": ("a banana-yellow wall", "a bandana"), "test": ("a banana-shaped moon",)},
    "apple": {"train": ("a pineapple", "an apple-green curtain", "an apple tree"), "test": ("an applesauce jar",)},
    "orange": {"train": ("an orange wall", "an orange curtain", "an orange light"), "test": ("an orange sunset",)},
    "pizza": {"train": ("a pizza box", "a pizza-shaped cushion"), "test": ("a pizza cutter",)},
    "donut": {"train": ("a donut-shaped cushion", "a walnut"), "test": ("a coconut",)},
    "cake": {"train": ("a pancake", "a cake stand"), "test": ("a cake tin",)},
    "chair": {"train": ("a wheelchair ramp", "a chairlift"), "test": ("an armchair catalogue",)},
    "potted plant": {"train": ("a power plant", "a plantation map", "a pottery wheel"), "test": ("a planet",)},
    "bed": {"train": ("a flower bed", "a river bed", "a bedside table"), "test": ("a seabed",)},
    "laptop": {"train": ("a laptop bag", "a tabletop"), "test": ("a desktop fan",)},
    "cell phone": {"train": ("a phone booth", "a headphone", "a microphone"), "test": ("a telephone pole",)},
    "refrigerator": {"train": ("a bridge", "a fridge magnet"), "test": ("a ridge",)},
    "book": {"train": ("a bookcase", "a notebook", "a bookmark", "a booking office"), "test": ("a checkbook",)},
    "clock": {"train": ("a block", "a clockwork toy"), "test": ("a clockwise arrow",)},
    "vase": {"train": ("a vase-shaped lamp", "a valley"), "test": ("a canvas",)},
    "teddy bear": {"train": ("a polar bear", "a bear trap", "a beard"), "test": ("a grizzly bear",)},
}  # fmt: skip

PLAIN_SENTENCES: dict[Split, tuple[str, ...]] = {
    "train": LOOK_ALIKE_SENTENCES["train"][:-1],
    "test": LOOK_ALIKE_SENTENCES["test"],
}
"""The sentences that claim the object they name."""
FOREIGN = tuple(sorted(set(load_lexicon("coco80").vocabulary) - {*CATEGORIES, "tie", "person"}))
"""COCO categories that are in no scene. `tie` is missing, because the THRONE protocol uses another word for it."""

_NAMES = {
    name: c.name
    for c in CATEGORIES.values()
    for name in (c.name, c.plural, *(form for pair in c.synonyms for form in pair))
}
_NAMED = re.compile(rf"\b(?:{'|'.join(sorted(_NAMES, key=lambda n: (-len(n), n)))})\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.?]) ")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage."""

    text: str
    unclaimed: frozenset[str] = frozenset()
    """Categories that it names, or seems to name, without claiming that they are there."""
    foreign: str | None = None
    """The category outside of all scenes that it claims."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, the categories that it claims, and those that it names without claiming them."""

    text: str
    claims: dict[str, tuple[tuple[int, int], ...]]
    """By claimed category, the spans of its names: characters (start, end)."""
    unclaimed: dict[str, TrapKind]


def make_passage(
    scene: Scene,
    rng: np.random.Generator,
    *,
    words: tuple[int, int],
    traps: tuple[int, int] = (0, 3),
    affirmations: int = 1,
    kinds: Sequence[TrapKind] = ("denied", "imagined", "look-alike"),
    split: Split = "train",
    foreign: float = 0.0,
) -> Passage:
    """Return a passage about the scene.

    Args:
        scene: The scene that the text describes. rng: Draws everything. words: Bounds of the length of the text without
        traps and affirmations. traps: Bounds of the number of sentences that name absent categories. affirmations:
        Largest number of sentences that claim an object with the signal words of traps. kinds: Kinds of traps. split:
        Which phrasings are used. foreign: Probability that a category outside of all scenes is claimed too, and that a
        trap names such a category.
    """
    body = _body(scene, rng, words)
    denied = sorted({c for sentence in body for c in sentence.unclaimed})
    free = [c for c in scene.absent if c not in denied]
    others = [str(c) for c in rng.permutation(FOREIGN)[:3]]
    unclaimed: dict[str, TrapKind] = dict.fromkeys(denied, "denied")
    extra: list[Sentence] = []
    for _ in range(int(rng.integers(traps[0], traps[1] + 1))):
        kind = kinds[int(rng.integers(len(kinds)))]
        able = [c for c in free if kind != "look-alike" or c in LOOK_ALIKES]
        chosen = [str(c) for c in rng.permutation(able)[:2]]
        if kind != "look-alike" and len(others) > 1 and rng.random() < foreign:
            chosen[0] = others.pop()
        sentence = _trap(kind, chosen, rng, split)
        free = [c for c in free if c not in sentence.unclaimed]
        unclaimed |= dict.fromkeys(sorted(sentence.unclaimed), kind)
        extra.append(sentence)
    if rng.random() < foreign:
        phrase = article(others[0])
        template = _pick(PLAIN_SENTENCES[split], rng)
        extra.append(Sentence(template.format(x=phrase, X=_capital(phrase)), foreign=others[0]))
    for _ in range(int(rng.integers(affirmations + 1))):
        thing = scene.things[rng.integers(len(scene.things))]
        extra.append(Sentence(_fill(_pick(AFFIRMATIONS[split], rng), thing=thing, rng=rng)))
    for sentence in extra:
        body.insert(int(rng.integers(len(body) + 1)), sentence)
    return _join(body, unclaimed)


def _body(scene: Scene, rng: np.random.Generator, words: tuple[int, int]) -> list[Sentence]:
    """Return the sentences of a caption or a description, sometimes only a part of them."""
    text = caption(scene, rng) if words[1] < 40 else describe(scene, rng, words)
    sentences = [_read(scene, sentence) for sentence in _SENTENCE_END.split(text)]
    if len(sentences) > 2 and rng.random() < 0.3:
        kept = np.sort(rng.permutation(len(sentences))[: int(rng.integers(2, len(sentences) + 1))])
        sentences = [sentences[i] for i in kept]
    return sentences


def _read(scene: Scene, text: str) -> Sentence:
    """Return a sentence of a true description with the absent categories that it denies."""
    named = {_NAMES[match[0].lower()] for match in _NAMED.finditer(text)}
    return Sentence(text, frozenset(named & set(scene.absent)))


def _trap(kind: TrapKind, chosen: Sequence[str], rng: np.random.Generator, split: Split) -> Sentence:
    category, second = chosen
    if kind == "look-alike":
        phrase = _pick(LOOK_ALIKES[category][split], rng)
        template = _pick(LOOK_ALIKE_SENTENCES[split], rng)
        return Sentence(template.format(x=phrase, X=_capital(phrase)), frozenset({category}))
    template = _pick((DENIALS if kind == "denied" else IMAGININGS)[split], rng)
    both = "{b" in template
    text = _fill(template, category=category, second=second, rng=rng)
    return Sentence(text, frozenset({category, second} if both else {category}))


def _fill(
    template: str,
    *,
    rng: np.random.Generator,
    category: str | None = None,
    second: str | None = None,
    thing: Thing | None = None,
) -> str:
    if thing is not None:
        phrase = noun_phrase(thing, rng)
        return template.format(a=phrase)
    assert category is not None
    names = _forms(category, rng)
    if second is not None:
        other = _forms(second, rng)
        names |= {"b": other["a"], "bs": other["pl"]}
    return template.format(**names)


def _forms(category: str, rng: np.random.Generator) -> dict[str, str]:
    if category in CATEGORIES:
        singular, plural = noun(category, 1, rng), noun(category, 2, rng)
    else:
        singular, plural = category, pluralize(category)
    if category == "scissors":
        singular = "pair of scissors"
    one = article(singular)
    return {"s": singular, "pl": plural, "a": one, "A": _capital(one), "Pl": _capital(plural)}


def _join(sentences: Sequence[Sentence], unclaimed: dict[str, TrapKind]) -> Passage:
    """Return the joined sentences with the spans of all claimed names."""
    text = ""
    claims: dict[str, list[tuple[int, int]]] = {}
    for sentence in sentences:
        offset = len(text) + bool(text)
        text += (" " if text else "") + sentence.text
        for match in _NAMED.finditer(sentence.text):
            category = _NAMES[match[0].lower()]
            if category not in sentence.unclaimed and category not in unclaimed:
                claims.setdefault(category, []).append((offset + match.start(), offset + match.end()))
        if sentence.foreign is not None:
            start = offset + sentence.text.lower().index(sentence.foreign)
            claims[sentence.foreign] = [(start, start + len(sentence.foreign))]
    return Passage(text, {c: tuple(spans) for c, spans in claims.items()}, unclaimed)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
