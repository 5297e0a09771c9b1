"""Recipes of the judges of Scenes text, and their training samples."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from eidolon.benchmark.scenes.passages import FOREIGN, Passage, make_passage
from eidolon.benchmark.scenes.scene import Dials, make_scene
from eidolon.benchmark.scenes.world import VOCABULARY
from eidolon.models.training.loop import Restart, Schedule
from eidolon.models.training.t5 import ReadingSample, T5Architecture
from eidolon.scorers.judges.throne_questions import FORMATS, RESPONSE_CHARACTERS, prompt, question

TOKENS_PER_WORD = 1.4
"""Tokens in a word of a passage. It fixes the size of a batch before the batch is written."""
TOKENS_AROUND = 30
"""Tokens of the prompt around a passage."""
UNCLAIMED_SHARE = 0.6
"""Share of the questions with the answer no that ask about a category which the passage names but does not claim."""
FOREIGN_SHARE = 0.25
"""Share of the passages that claim a COCO category outside of all scenes, and of the questions about such a
category."""
_FORMATS = tuple(FORMATS)
DIALS = Dials(min_objects=1, cooccurrence=0.5)
"""Few objects and unusual combinations, so that a judge learns from the text and not from what is likely."""


class JudgeTraining(Schedule):
    """The training of a judge: first short passages, then passages of all lengths."""

    short_steps: int = Field(ge=1)
    long_steps: int = Field(ge=1)
    short_words: tuple[int, int] = (8, 30)
    long_words: tuple[int, int] = (8, 170)
    """Bounds of the length of a passage, which is drawn log-uniformly for each batch."""
    tokens_per_batch: int = Field(4096, ge=64)
    questions_each: int = Field(4, ge=2, multiple_of=2)
    """Questions about a passage; half of them are about its claims."""
    claims_weight: float = Field(0.1, ge=0)
    evidence_weight: float = Field(0.3, ge=0)

    @property
    def steps(self) -> int:
        return self.short_steps + self.long_steps


class JudgeRecipe(BaseModel):
    """The recipe of a judge. The same recipe on the same machine gives the same weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    architecture: T5Architecture
    training: JudgeTraining
    data_seed: int = 2001
    """Seed of the training scenes. The evaluation uses another (default 0)."""


JUDGE_RECIPES: dict[str, JudgeRecipe] = {
    recipe.name: recipe
    for recipe in (
        JudgeRecipe(
            name="judge-small",
            architecture=T5Architecture(width=64, inner=128, encoder_layers=3),
            training=JudgeTraining(
                seed=12,
                learning_rate=3e-3,
                precision="bf16",
                short_steps=1500,
                long_steps=2700,
                horizon=2700,
                restarts=(Restart(step=2700, learning_rate=2.5e-3, horizon=1500),),
            ),
        ),
        JudgeRecipe(
            name="judge-base",
            architecture=T5Architecture(width=64, inner=160, encoder_layers=3),
            training=JudgeTraining(
                seed=11, learning_rate=3e-3, precision="bf16", short_steps=1600, long_steps=1400
            ),
        ),
        JudgeRecipe(
            name="judge-large",
            architecture=T5Architecture(width=64, inner=256, encoder_layers=4),
            training=JudgeTraining(
                seed=13, learning_rate=3e-3, precision="bf16", short_steps=1600, long_steps=1400
            ),
        ),
    )
}


def batch_samples(recipe: JudgeRecipe) -> Callable[[int], list[ReadingSample]]:
    """Return the function from a step to its samples. They depend only on the step."""
    training = recipe.training

    def samples(step: int) -> list[ReadingSample]:
        rng = np.random.default_rng([recipe.data_seed, step])
        low, high = training.short_words if step < training.short_steps else training.long_words
        words = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        tokens = TOKENS_PER_WORD * words + TOKENS_AROUND
        passages = max(1, round(training.tokens_per_batch / tokens / training.questions_each))
        found: list[ReadingSample] = []
        for _ in range(passages):
            passage = draw_passage(recipe.data_seed, int(rng.integers(2**31)), words)
            found += ask(passage, training.questions_each, rng)
        return found

    return samples


def draw_passage(seed: int, index: int, words: float) -> Passage:
    """Return training passage `index` of the stream with this seed, of about `words` words."""
    scene = make_scene(seed, index, DIALS)
    rng = scene.rng("passage")
    traps = 2 if words < 25 else 3
    bounds = (round(0.85 * words), round(1.15 * words))
    return make_passage(scene, rng, words=bounds, traps=(0, traps), foreign=FOREIGN_SHARE)


def ask(passage: Passage, questions: int, rng: np.random.Generator) -> list[ReadingSample]:
    """Return questions about claimed categories, and as many about others, preferably named ones.

    The judge reads only the first `RESPONSE_CHARACTERS` of a passage. A claim after this limit is not asked about as a
    claim, and a claim that crosses the limit is not asked about at all.
    """
    text = passage.text[:RESPONSE_CHARACTERS]
    claimed = [c for c, spans in passage.claims.items() if spans[0][1] <= len(text)]
    cut_off = [c for c, spans in passage.claims.items() if spans[0][0] < len(text) < spans[0][1]]
    named = [c for c in passage.unclaimed if c not in cut_off]
    known = {*claimed, *cut_off, *named}
    unnamed = [c for c in VOCABULARY if c not in known]
    elsewhere = [c for c in FOREIGN if c not in known and c not in text.lower()]
    samples = []
    for number in range(questions):
        if claimed and number % 2 == 0:
            category, answer = claimed[rng.integers(len(claimed))], "yes"
        else:
            pool = elsewhere if rng.random() < FOREIGN_SHARE else unnamed
            pool = named if named and rng.random() < UNCLAIMED_SHARE else pool
            category, answer = pool[rng.integers(len(pool))], "no"
        asked = prompt(text, question(_FORMATS[rng.integers(len(_FORMATS))], category))
        offset = asked.index(text)
        spans = {
            c: [(offset + a, offset + b) for a, b in found if b <= len(text)]
            for c, found in passage.claims.items()
        }
        claims = [span for found in spans.values() for span in found]
        evidence = spans[category] if answer == "yes" else []
        samples.append(ReadingSample(asked, answer, (offset, offset + len(text)), claims, evidence))
    return samples


@lru_cache(maxsize=1)
def tokenizer_texts(n: int = 6000, data_seed: int = 2001) -> tuple[str, ...]:
    """Return prompts to train a tokenizer on."""
    texts = []
    for index in range(n):
        rng = np.random.default_rng([data_seed, index])
        texts += [s.prompt for s in ask(draw_passage(data_seed, index, 60), 2, rng)]
    return tuple(texts)
