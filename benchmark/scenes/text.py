"""Writes English text from the ground truth of a scene: long descriptions, captions, filler and questions.

A description is a sequence of sentences. The positions of first mentions do not depend on the number of objects: the
earliest position and the mean position are the same for few objects and for many. So "late in the text" never just
means "many objects". The other sentences are filler about no object, second mentions, relations and negations. Every
statement is true of the scene.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eidolon.benchmark.scenes.scene import Scene, Thing
from eidolon.benchmark.scenes.world import CATEGORIES, THEMES

WORDS_PER_SENTENCE = 11.5
WORDS_PER_LISTED_OBJECT = 3
MIN_WORDS, MAX_WORDS = 40, 250
EARLIEST_PLACE = 0.12
"""Mean position of the first sentence that names an object, as a share of the description."""
MEAN_PLACE = 0.45
"""Mean position of all sentences that name an object for the first time."""
LATE_START = 0.25
"""Share of the descriptions that begin with a lot of filler."""
NUMBERS = {1: "one", 2: "two", 3: "three"}

LEADS = (
    "Overall,", "Altogether,", "In general,", "Above all,", "As a whole,", "To be fair,", "For some reason,",
    "Without a doubt,", "Even so,", "Still,", "Besides,", "Moreover,", "Then again,", "After all,", "Of course,",
    "By the way,", "Strangely,", "Clearly,", "Perhaps", "Somehow", "Naturally,", "Honestly,", "Surely",
    "Once more,", "Quite simply,", "Looking closer,", "From here,", "Everywhere", "Meanwhile,", "Admittedly,",
    "Happily,", "Indeed,", "Maybe", "Now", "Yes,", "Well,", "Next,", "Finally,", "Likewise,", "Elsewhere,",
)  # fmt: skip

_SUBJECTS = (
    "the light", "the mood", "the air", "the whole view", "the atmosphere", "the composition", "the contrast",
    "the moment", "the day", "the style", "the colour palette", "the feeling",
)  # fmt: skip
_PREDICATES = (
    "seems calm and pleasant", "feels warm and a little sleepy", "is soft and even", "has a quiet charm",
    "makes a cheerful impression", "looks simple but well arranged", "is neither dull nor loud",
    "reminds me of a slow afternoon", "gives a sense of order", "stays gentle and friendly",
    "could hardly be more peaceful", "leaves room for imagination", "tells a small story of its own",
    "is hard to put into words", "invites a longer look", "appears clean and bright",
)  # fmt: skip
_ASIDES = (
    "", " at this hour", " from every angle", " in its own way", " despite the simple drawing",
    " and nothing feels out of place", " as if time had stopped for a while",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """A yes/no question about a scene, with its true answer."""

    text: str
    answer: Literal["Yes", "No"]
    kind: Literal["existence", "count", "attribute"]
    category: str


def article(noun: str) -> str:
    """Return the noun with `a` or `an` before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def noun(category: str, count: int, rng: np.random.Generator) -> str:
    """Return a name of the category, sometimes a synonym, in the singular or plural."""
    entry = CATEGORIES[category]
    names = ((entry.name, entry.plural), *entry.synonyms)
    weights = np.array([3.0] + [1.0] * len(entry.synonyms))
    singular, plural = names[rng.choice(len(names), p=weights / weights.sum())]
    return singular if count == 1 else plural


def noun_phrase(thing: Thing, rng: np.random.Generator) -> str:
    """Return a phrase such as `a red cup`, `two cups` or `a pair of scissors`."""
    name = noun(thing.category, thing.count, rng)
    colour = thing.colour if thing.colour and rng.random() < 0.6 else None
    if thing.category == "scissors":
        phrase = f"{colour} scissors" if colour else "scissors"
        return f"a pair of {phrase}" if thing.count == 1 else f"{NUMBERS[thing.count]} pairs of {phrase}"
    if thing.category == "person":
        clothes = f" in {colour}" if colour else ""
        return (article(name) if thing.count == 1 else f"{NUMBERS[thing.count]} {name}") + clothes
    phrase = f"{colour} {name}" if colour else name
    return article(phrase) if thing.count == 1 else f"{NUMBERS[thing.count]} {phrase}"


def _is(thing: Thing) -> str:
    return "is" if thing.count == 1 and thing.category != "scissors" else "are"


def _side(thing: Thing) -> str:
    x = thing.centre[0]
    return "on the left side" if x < 0.38 else "on the right side" if x > 0.62 else "in the middle"


def _place_phrase(thing: Thing, rng: np.random.Generator) -> str:
    y = thing.centre[1]
    height = ", near the top" if y < 0.3 else ", near the bottom" if y > 0.7 else ""
    whole = (" of the picture", " of the image", " of the frame")[rng.integers(3)]
    return _side(thing) + whole + (height if rng.random() < 0.6 else "")


def _size_phrase(thing: Thing) -> str:
    return "quite large" if thing.area > 0.085 else "rather small" if thing.area < 0.04 else "of medium size"


def _relation(thing: Thing, other: Thing) -> str | None:
    """Return the position of `thing` relative to `other` if it is obvious, else None."""
    (x, y), (u, v) = thing.centre, other.centre
    if abs(x - u) > 0.2 and abs(x - u) > abs(y - v):
        return "to the left of" if x < u else "to the right of"
    if abs(y - v) > 0.2:
        return "above" if y < v else "below"
    return None


def introduce(thing: Thing, named: Sequence[Thing], rng: np.random.Generator) -> str:
    """Return a sentence that names the thing for the first time."""
    phrase, be = noun_phrase(thing, rng), _is(thing)
    place = _place_phrase(thing, rng)
    tail = ""
    roll = rng.random()
    if roll < 0.25:
        tail = f", and {'it is' if be == 'is' else 'they are'} {_size_phrase(thing)}"
    elif roll < 0.5 and named:
        other = named[int(rng.integers(len(named)))]
        relation = _relation(thing, other)
        if relation:
            tail = (
                f", {relation} the {CATEGORIES[other.category].plural if other.count > 1 else other.category}"
            )
    match int(rng.integers(6)):
        case 0:
            sentence = f"There {_there(phrase, be)} {phrase} {place}{tail}"
        case 1:
            sentence = f"I can see {phrase} {place}{tail}"
        case 2:
            sentence = f"{phrase[0].upper()}{phrase[1:]} {_there(phrase, be)} {place}{tail}"
        case 3:
            where = _side(thing)
            sentence = f"{where[0].upper()}{where[1:]} there {_there(phrase, be)} {phrase}{tail}"
        case 4:
            sentence = f"You can also find {phrase} {place}{tail}"
        case _:
            sentence = f"Here we have {phrase} {place}{tail}"
    return sentence + "."


def _there(phrase: str, be: str) -> str:
    return "is" if phrase.startswith("a pair of") else be


def introduce_several(things: Sequence[Thing], rng: np.random.Generator) -> str:
    """Return one sentence that names several things for the first time."""
    phrases = [noun_phrase(thing, rng) for thing in things]
    listed = ", ".join(phrases[:-1]) + " and " + phrases[-1]
    opener = ("There {be} ", "I can see ", "You can also find ", "Here we have ")[rng.integers(4)]
    return opener.format(be=_there(phrases[0], _is(things[0]))) + listed + "."


def filler(rng: np.random.Generator, leads: list[str] | None = None) -> str:
    """Return a sentence about no object. It takes an opening out of the pool `leads`, so that none repeats."""
    lead = _take(leads, rng) if leads is not None else str(rng.choice(LEADS))
    subject, predicate = str(rng.choice(_SUBJECTS)), str(rng.choice(_PREDICATES))
    return f"{lead} {subject} {predicate}{rng.choice(_ASIDES)}."


def _take(pool: list[str], rng: np.random.Generator) -> str:
    if not pool:
        pool.extend(LEADS)
    return pool.pop(int(rng.integers(len(pool))))


def _say_again(thing: Thing, named: Sequence[Thing], leads: list[str], rng: np.random.Generator) -> str:
    """Return another sentence about a thing that was named before."""
    name = CATEGORIES[thing.category].plural if thing.count > 1 else thing.category
    be = _is(thing)
    facts = [f"the {name} {be} {_size_phrase(thing)}", f"the {name} {be} {_side(thing)}"]
    if thing.category == "person":
        facts.append(f"the {name} {'wears' if thing.count == 1 else 'wear'} {thing.colour}")
    elif thing.colour:
        facts.append(f"the {name} {be} {thing.colour}")
    for other in named:
        relation = _relation(thing, other)
        if other is not thing and relation:
            other_name = CATEGORIES[other.category].plural if other.count > 1 else other.category
            facts.append(f"the {name} {be} {relation} the {other_name}")
    return f"{_take(leads, rng)} {facts[rng.integers(len(facts))]}."


def _deny(scene: Scene, rng: np.random.Generator) -> str:
    category = _absent_category(scene, rng)
    singular, plural = category, CATEGORIES[category].plural
    return (
        f"There is no {singular} in this picture.",
        f"No {singular} is visible.",
        f"There are no {plural} here.",
        f"I cannot see any {plural}.",
    )[rng.integers(4)]


def _absent_category(scene: Scene, rng: np.random.Generator) -> str:
    """Return a random absent category, half of the time a usual object of the theme."""
    absent = scene.absent
    theme = next(theme for theme in THEMES if theme.name == scene.theme)
    likely = [name for name in absent if name in theme.usual]
    if likely and rng.random() < 0.5:
        return likely[rng.integers(len(likely))]
    return absent[rng.integers(len(absent))]


def _open(scene: Scene, rng: np.random.Generator) -> str:
    place = article(scene.theme)
    return (
        f"This is a drawing of {place} scene in plain and friendly colours.",
        f"This picture shows {place} scene with several things in it.",
        f"This looks like {place} in a simple, flat and tidy style.",
    )[rng.integers(3)]


def first_mention_slots(n: int, slots: int, rng: np.random.Generator) -> list[int]:
    """Return the indices of the sentences, of `slots`, in which `n` groups of objects are first named, sorted.

    The earliest position does not depend on `n`. The others follow a power law after it. The exponent depends on `n`,
    so that the mean position stays at MEAN_PLACE.
    """
    start = rng.uniform(0, 0.7) if rng.random() < LATE_START else rng.uniform(0, EARLIEST_PLACE / 2)
    places = [start]
    if n > 1:
        rest = (MEAN_PLACE - EARLIEST_PLACE / n) / (1 - 1 / n)
        exponent = (1 - EARLIEST_PLACE) / (rest - EARLIEST_PLACE) - 1
        places += [start + (1 - start) * u**exponent for u in rng.uniform(0, 1, n - 1)]
    free = list(range(slots))
    taken = []
    for place in sorted(places):
        slot = min(free, key=lambda s: abs(s - place * (slots - 1)))
        free.remove(slot)
        taken.append(slot)
    return sorted(taken)


def describe(scene: Scene, rng: np.random.Generator, words: tuple[int, int] = (MIN_WORDS, MAX_WORDS)) -> str:
    """Return a long description that names every object, with a random length between the bounds `words`.

    The length is drawn log-uniformly and does not depend on the scene.
    """
    target = float(np.exp(rng.uniform(np.log(words[0]), np.log(words[1]))))
    groups = _groups(scene, max(1, int(0.75 * target / WORDS_PER_SENTENCE)), rng)
    listed = sum(len(group) - 1 for group in groups) * WORDS_PER_LISTED_OBJECT
    slots = max(len(groups) + 1, round((target - listed) / WORDS_PER_SENTENCE))
    naming = dict(zip(first_mention_slots(len(groups), slots, rng), groups, strict=True))
    leads = list(LEADS)
    named: list[Thing] = []
    sentences: list[str] = []
    for slot in range(slots):
        group = naming.get(slot)
        if group:
            sentence = introduce(group[0], named, rng) if len(group) == 1 else introduce_several(group, rng)
            named.extend(group)
        elif slot == 0:
            sentence = _open(scene, rng)
        else:
            sentence = _other_sentence(scene, named, leads, rng)
        sentences.append(sentence)
    return " ".join(_fit(sentences, set(naming), words, leads, rng))


def _fit(
    sentences: list[str], naming: set[int], words: tuple[int, int], leads: list[str], rng: np.random.Generator
) -> list[str]:
    """Bring the length into the bounds `words` by dropping or adding sentences without first mentions."""
    lengths = [len(sentence.split()) for sentence in sentences]
    spare = [i for i in range(len(sentences)) if i not in naming]
    dropped: set[int] = set()
    while spare and sum(n for i, n in enumerate(lengths) if i not in dropped) > words[1]:
        dropped.add(spare.pop(int(rng.integers(len(spare)))))
    kept = [sentence for i, sentence in enumerate(sentences) if i not in dropped]
    while sum(len(sentence.split()) for sentence in kept) < words[0]:
        kept.append(filler(rng, leads))
    return kept


def _other_sentence(scene: Scene, named: Sequence[Thing], leads: list[str], rng: np.random.Generator) -> str:
    roll = rng.random()
    if roll < 0.06:
        return _deny(scene, rng)
    if roll < 0.4 and named:
        return _say_again(named[int(rng.integers(len(named)))], named, leads, rng)
    return filler(rng, leads)


def _groups(scene: Scene, most: int, rng: np.random.Generator) -> list[list[Thing]]:
    """Return the things, shuffled, in at most `most` groups, one for each sentence."""
    things = [scene.things[i] for i in rng.permutation(len(scene.things))]
    n = min(len(things), most)
    cuts = np.sort(rng.permutation(np.arange(1, len(things)))[: n - 1])
    return [things[a:b] for a, b in zip([0, *cuts], [*cuts, len(things)], strict=True)]


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Return one or two simple sentences that name every object."""
    things = [scene.things[i] for i in rng.permutation(len(scene.things))]
    if len(things) <= 4:
        return introduce_several(things, rng) if len(things) > 1 else introduce(things[0], [], rng)
    half = len(things) // 2
    return f"{introduce_several(things[:half], rng)} {introduce_several(things[half:], rng)}"


def ask_existence(category: str, answer: Literal["Yes", "No"], rng: np.random.Generator) -> Question:
    """Return a question whether the category is in the image, half of the time in the wording of POPE."""
    singular, plural = category, CATEGORIES[category].plural
    one = singular if category == "scissors" else article(singular)
    be = "Are there" if category == "scissors" else "Is there"
    texts = (
        f"Do you see any {plural}?",
        f"Can you see {one} in this picture?",
        f"Are there any {plural} in the image?",
    )
    text = f"{be} {one} in the image?" if rng.random() < 0.5 else texts[rng.integers(3)]
    return Question(text, answer, "existence", category)


def ask_presence(scene: Scene, rng: np.random.Generator, present: bool) -> Question:
    """Return a question about a random present or absent category of the scene."""
    if present:
        return ask_existence(scene.things[rng.integers(len(scene.things))].category, "Yes", rng)
    return ask_existence(_absent_category(scene, rng), "No", rng)


def ask(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a yes/no question about presence, count or colour. Yes and no are equally likely."""
    yes = bool(rng.random() < 0.5)
    roll = rng.random()
    thing = scene.things[rng.integers(len(scene.things))]
    if roll < 0.15 and thing.category != "scissors":
        number = thing.count if yes else int(rng.choice([n for n in NUMBERS if n != thing.count]))
        plural = CATEGORIES[thing.category].plural
        text = (
            f"Is there exactly one {thing.category} in the image?"
            if number == 1
            else f"Are there {NUMBERS[number]} {plural} in the image?"
        )
        return Question(text, "Yes" if yes else "No", "count", thing.category)
    if roll < 0.3 and thing.colour:
        others = [c for c in CATEGORIES[thing.category].colours if c != thing.colour]
        asked_colour = thing.colour if yes else str(rng.choice(others))
        name = CATEGORIES[thing.category].plural if thing.count > 1 else thing.category
        be = "Are" if thing.count > 1 or thing.category == "scissors" else "Is"
        if thing.category == "person":
            asked_colour = f"dressed in {asked_colour}"
        return Question(
            f"{be} the {name} {asked_colour}?", "Yes" if yes else "No", "attribute", thing.category
        )
    return ask_presence(scene, rng, yes)
