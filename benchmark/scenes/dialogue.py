"""Training dialogues between a user and a model about a scene."""

import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene
from eidolon.benchmark.scenes.text import MAX_WORDS, MIN_WORDS, Question, ask, caption, describe, filler

DESCRIBE_PROMPTS = (
    "Describe this image in detail.",
    "Please describe this image in detail.",
    "Describe the image.",
    "What do you see in this picture?",
)
CAPTION_PROMPTS = (
    "Provide a brief description of the given image.",
    "Generate a short caption of the image.",
    "What is in the image?",
)
FACTS: dict[str, tuple[str, ...]] = {
    "the code word": ("maple", "silver", "harbor", "velvet", "comet", "ginger"),
    "the painter": ("Anna", "Boris", "Clara", "David", "Emma", "Felix"),
    "the day": ("Monday", "Tuesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
"""Facts that are stated in text and not shown in the image. Questions about them measure memory of text."""


DialogueKind: TypeAlias = Literal["description", "caption", "questions", "filler", "other", "names"]
KINDS: tuple[DialogueKind, ...] = get_args(DialogueKind)


class Mixture(BaseModel):
    """How often each kind of dialogue occurs. The weights need not sum to one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: float = Field(5.0, ge=0)
    """A long description, then questions after it."""
    caption: float = Field(1.5, ge=0)
    """One or two sentences that name every object, then questions."""
    questions: float = Field(2.0, ge=0)
    """Questions right after the image."""
    filler: float = Field(0.8, ge=0)
    """Sentences about no object, then questions."""
    other: float = Field(0.7, ge=0)
    """A description of another image, then questions about this one."""
    names: float = Field(0.0, ge=0)
    """Questions right after the image, and a list of names at the end."""
    rows: float = Field(0.0, ge=0, le=1)
    """Share of the other dialogues that end with a list of names, from which the model picks those in the image.

    The list asks about a dozen objects in the words of two questions. It comes last, because its answer would also
    answer any later question."""
    scrambled: float = Field(0.0, ge=0, le=1)
    """Share of the filler whose words are in random order, in lower case and without punctuation."""
    min_words: int = Field(MIN_WORDS, ge=10)
    max_words: int = Field(MAX_WORDS, ge=20)
    """Bounds of the length of a long description."""
    facts: float = Field(0.3, ge=0, le=1)
    """Share of the dialogues that state a fact and ask about it later. Dialogues of only questions have none."""
    questions_each: int = Field(4, ge=1)
    """Largest number of questions in a dialogue; twice as many if they follow right after the image."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: a question or request, and the answer that is learned."""

    ask: str
    answer: str
    is_closed: bool
    """Whether the answer is a bare Yes or No."""
    about: tuple[tuple[str, bool], ...] = ()
    """The categories in the question, in the order of their names, and whether each is in the image."""


def fact_question(name: str, stated: str, rng: np.random.Generator) -> Question:
    """Return a question about a fact of FACTS that was stated before. Yes and no are equally likely."""
    yes = bool(rng.random() < 0.5)
    value = stated if yes else str(rng.choice([v for v in FACTS[name] if v != stated]))
    return Question(f"Is {name} {value}?", "Yes" if yes else "No", "attribute", name)


def make_dialogue(scene: Scene, rng: np.random.Generator, mixture: Mixture) -> list[Turn]:
    """Return one dialogue about the scene."""
    weights = np.array(
        [
            mixture.description,
            mixture.caption,
            mixture.questions,
            mixture.filler,
            mixture.other,
            mixture.names,
        ]
    )
    kind = KINDS[rng.choice(len(KINDS), p=weights / weights.sum())]
    words = (mixture.min_words, mixture.max_words)
    fact: tuple[str, str] | None = None
    prefix = ""
    if kind not in ("questions", "names") and rng.random() < mixture.facts:
        name = str(rng.choice(list(FACTS)))
        fact = (name, str(rng.choice(FACTS[name])))
        prefix = f"Remember that {name} is {fact[1]}. "
    n = int(rng.integers(1, mixture.questions_each + 1))
    match kind:
        case "description":
            prompt = DESCRIBE_PROMPTS[0] if rng.random() < 0.6 else str(rng.choice(DESCRIBE_PROMPTS))
            turns = [Turn(prefix + prompt, describe(scene, rng, words), is_closed=False)]
        case "caption":
            turns = [Turn(prefix + str(rng.choice(CAPTION_PROMPTS)), caption(scene, rng), is_closed=False)]
        case "questions":
            turns, n = [], 2 * mixture.questions_each
        case "filler":
            text = _filler(rng, words)
            if mixture.scrambled and rng.random() < mixture.scrambled:
                text = _scramble(text, rng)
            turns, prefix = [], prefix + text + " "
        case "other":
            other = make_scene(scene.seed, scene.index + 1, scene.dials)
            turns, prefix = [], prefix + f"Another picture: {describe(other, rng, words)} Now this one. "
        case "names":
            turns = []
    questions = [ask(scene, rng) for _ in range(n)]
    if fact:
        questions.insert(int(rng.integers(len(questions) + 1)), fact_question(*fact, rng))
    closed = [
        Turn(
            question.text,
            question.answer,
            True,
            ((question.category, question.answer == "Yes"),) if question.kind == "existence" else (),
        )
        for question in questions
    ]
    if prefix and not turns:
        closed[0] = replace(closed[0], ask=prefix + closed[0].ask)
    if kind == "names" or (mixture.rows and rng.random() < mixture.rows):
        closed.append(_pick_names(scene, rng))
    return turns + closed


def _pick_names(scene: Scene, rng: np.random.Generator) -> Turn:
    """Return the question which of some names are in the image; half of them are."""
    present = list(scene.objects)
    absent = [scene.absent[i] for i in rng.permutation(len(scene.absent))[: len(present)]]
    names = [(present + absent)[i] for i in rng.permutation(len(present) + len(absent))]
    there = ", ".join(name for name in names if name in present)
    return Turn(
        f"Which of these are here: {', '.join(names)}?",
        f"{there}.",
        is_closed=False,
        about=tuple((name, name in present) for name in names),
    )


def _filler(rng: np.random.Generator, words: tuple[int, int]) -> str:
    target = float(np.exp(rng.uniform(np.log(words[0]), np.log(words[1]))))
    sentences: list[str] = []
    while sum(len(sentence.split()) for sentence in sentences) < target:
        sentences.append(filler(rng))
    return " ".join(sentences)


def _scramble(text: str, rng: np.random.Generator) -> str:
    words = re.findall(r"[a-z']+", text.lower())
    return " ".join(words[place] for place in rng.permutation(len(words)))


def training_pair(seed: int, index: int, dials: Dials, mixture: Mixture) -> tuple[Scene, list[Turn]]:
    """Return the scene and the dialogue of training sample `index` of the stream with this seed."""
    scene = make_scene(seed, index, dials)
    return scene, make_dialogue(scene, scene.rng("dialogue"), mixture)
