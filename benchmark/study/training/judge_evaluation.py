"""How well a judge reads held-out Scenes text, beside the lexicon and together with other judges.

Three sets of questions, on scenes and wordings that no judge was trained on: long descriptions, passages that
deny or only imagine objects, and passages with words that look like an object's name. In each, categories that
the text claims and categories that it does not are asked about equally often.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from eidolon.benchmark.scenes.passages import Kind, Split, make_passage
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene
from eidolon.benchmark.scenes.text import describe
from eidolon.benchmark.study.training.evaluation import BoundedEstimate
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.judges.throne_questions import (
    ANSWER_TOKENS,
    DEFAULT_FORMATS,
    RESPONSE_CHARACTERS,
    prompt,
    question,
)
from eidolon.scorers.judges.votes import is_yes
from eidolon.scorers.statistics.bootstrap import RESAMPLES, bootstrap
from eidolon.scorers.text.windows import windows

TRAPS: tuple[Kind, ...] = ("denied", "imagined")
PASSAGE_WORDS = (15, 90)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whether a text claims a category."""

    scene: int
    text: str
    category: str
    claimed: bool


class Reading(BaseModel):
    """How a judge, or several, did on a set of questions."""

    model_config = ConfigDict(frozen=True)

    recall: BoundedEstimate
    """Yes / claimed."""
    specificity: BoundedEstimate
    """No / not claimed."""
    precision: BoundedEstimate
    """Claimed / yes, with as many claimed as not."""
    balanced_accuracy: BoundedEstimate
    """Mean of recall and specificity."""


class JudgeEvaluation(BaseModel):
    """Held-out results of one judge; intervals are bootstraps over scenes."""

    model_config = ConfigDict(frozen=True)

    scenes: int
    seed: int
    formats: tuple[str, ...]
    descriptions: Reading
    denied_or_imagined: dict[Split, Reading]
    """By whether the wordings were seen in training."""
    look_alikes: dict[Split, Reading]


def description_questions(n: int, seed: int) -> list[Asked]:
    """Ask about every object of `n` held-out descriptions, and as many absent ones."""
    questions = []
    for index in range(n):
        scene = make_scene(seed, index, Dials())
        rng = scene.rng("judged description")
        text = describe(scene, rng)
        questions += _balanced(scene, text, list(scene.objects), list(scene.absent), rng)
    return questions


def passage_questions(n: int, seed: int, kinds: Sequence[Kind], split: Split) -> list[Asked]:
    """Ask about what `n` passages claim, and what they name without claiming it."""
    questions = []
    for index in range(n):
        scene = make_scene(seed, index, Dials())
        rng = scene.rng(f"judged passage {' '.join(kinds)} {split}")
        passage = make_passage(
            scene, rng, words=PASSAGE_WORDS, traps=(2, 4), affirmations=2, kinds=kinds, split=split
        )
        named = [c for c, kind in passage.unclaimed.items() if kind in kinds]
        questions += _balanced(scene, passage.text, list(passage.claims), named, rng)
    return questions


def _balanced(
    scene: Scene, text: str, claimed: Sequence[str], others: Sequence[str], rng: np.random.Generator
) -> list[Asked]:
    n = min(len(claimed), len(others))
    return [
        Asked(scene.index, text, str(category), is_claimed)
        for pool, is_claimed in ((claimed, True), (others, False))
        for category in rng.permutation(list(pool))[:n]
    ]


def ask_model(
    model: LanguageModel, questions: Sequence[Asked], formats: Sequence[str] = DEFAULT_FORMATS
) -> NDArray[np.bool_]:
    """Return the votes (formats, questions), reading the whole text in windows.

    Raises `RuntimeError` where the model fails: an evaluation has no unscored samples.
    """
    prompts = [
        (m, i, prompt(window, question(name, asked.category)))
        for m, name in enumerate(formats)
        for i, asked in enumerate(questions)
        for window in windows(asked.text, RESPONSE_CHARACTERS)
    ]
    votes = np.zeros((len(formats), len(questions)), dtype=np.bool_)
    replies = model.reply([text for _, _, text in prompts], max_new_tokens=ANSWER_TOKENS)
    for (m, i, _), reply in zip(prompts, replies, strict=True):
        if reply.text is None:
            raise RuntimeError(f"{model.name}: {reply.error}")
        votes[m, i] |= is_yes(reply.text)
    return votes


def ask_lexicon(reading: str, questions: Sequence[Asked]) -> NDArray[np.bool_]:
    """Return whether the lexicon judge finds the category, shape (1, questions)."""
    texts = list(dict.fromkeys(asked.text for asked in questions))
    responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
    judgements = LexiconJudge(reading=reading).judge(responses)
    found = {
        text: {mention.category for mention in judgement.mentions}
        for text, judgement in zip(texts, judgements, strict=True)
    }
    return np.array([[asked.category in found[asked.text] for asked in questions]])


def measure(
    votes: NDArray[np.bool_], questions: Sequence[Asked], *, resamples: int = RESAMPLES, seed: int = 0
) -> Reading:
    """Return how votes (voters, questions) did, each vote counted."""
    claimed = np.array([asked.claimed for asked in questions])
    columns = [votes & claimed, ~votes & claimed, ~votes & ~claimed, votes & ~claimed]
    statistics: FloatArray = np.stack([column.sum(0) for column in columns], axis=-1).astype(float)

    def compute(totals: FloatArray) -> dict[str, FloatArray]:
        tp, fn, tn, fp = (totals[..., i] for i in range(4))
        recall, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
        return {
            "recall": recall,
            "specificity": specificity,
            "precision": ratio(tp, tp + fp),
            "balanced_accuracy": (recall + specificity) / 2,
        }

    results = bootstrap(
        statistics, [asked.scene for asked in questions], compute, seed=seed, resamples=resamples
    )
    return Reading(**{name: result.estimate() for name, result in results.items()})


def evaluate_judge(model: LanguageModel, *, n: int = 300, seed: int = 0) -> JudgeEvaluation:
    """Evaluate one judge on `n` scenes of the given seed, each set of questions in the default formats."""

    def read(questions: list[Asked]) -> Reading:
        return measure(ask_model(model, questions), questions)

    def by_split(ask: Callable[[Split], list[Asked]]) -> dict[Split, Reading]:
        return {"train": read(ask("train")), "test": read(ask("test"))}

    return JudgeEvaluation(
        scenes=n,
        seed=seed,
        formats=DEFAULT_FORMATS,
        descriptions=read(description_questions(n, seed)),
        denied_or_imagined=by_split(lambda split: passage_questions(n, seed, TRAPS, split)),
        look_alikes=by_split(lambda split: passage_questions(n, seed, ("look-alike",), split)),
    )
