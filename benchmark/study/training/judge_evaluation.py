"""Measures how well judges read held-out Scenes text, alone and together, and how well the lexicon does.

There are three sets of questions, about long descriptions, passages that deny or only imagine objects, and passages
with words that look like the name of an object. No judge was trained on these scenes. In each set, half of the
questions are about categories that the text claims.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from eidolon.benchmark.scenes.passages import Split, TrapKind, make_passage
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene
from eidolon.benchmark.scenes.text import describe
from eidolon.benchmark.study.training.evaluation import BoundedEstimate
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.core.metric import FloatArray, Share, ratio
from eidolon.scorers.core.resampling import RESAMPLES
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
from eidolon.scorers.statistics.bootstrap import bootstrap
from eidolon.scorers.text.windows import windows

TRAPS: tuple[TrapKind, ...] = ("denied", "imagined")
PASSAGE_WORDS = (15, 90)


@dataclass(frozen=True, slots=True)
class TextQuestion:
    """The question whether a text claims a category, with the true answer."""

    scene: int
    text: str
    category: str
    claimed: bool


class JudgeAccuracy(BaseModel):
    """The accuracy of one or several judges on a set of questions."""

    model_config = ConfigDict(frozen=True)

    recall: BoundedEstimate
    """Share of the claimed categories with the answer yes."""
    specificity: BoundedEstimate
    """Share of the unclaimed categories with the answer no."""
    precision: BoundedEstimate
    """Share of the answers yes that are right; half of the questions are about claimed categories."""
    balanced_accuracy: BoundedEstimate
    """The mean of recall and specificity."""


class JudgeEvaluation(BaseModel):
    """Held-out results of one judge. The 95 % intervals are bootstraps over scenes."""

    model_config = ConfigDict(frozen=True)

    scenes: int
    seed: int
    formats: tuple[str, ...]
    descriptions: JudgeAccuracy
    denied_or_imagined: dict[Split, JudgeAccuracy]
    """By split of the wordings: those of `train` occur in training."""
    look_alikes: dict[Split, JudgeAccuracy]


def description_questions(n: int, seed: int) -> list[TextQuestion]:
    """Return questions about every object of `n` held-out descriptions, and about as many absent ones."""
    questions = []
    for index in range(n):
        scene = make_scene(seed, index, Dials())
        rng = scene.rng("judged description")
        text = describe(scene, rng)
        questions += _balanced(scene, text, list(scene.objects), list(scene.absent), rng)
    return questions


def passage_questions(n: int, seed: int, kinds: Sequence[TrapKind], split: Split) -> list[TextQuestion]:
    """Return questions about the claims of `n` passages, and about the categories that they name without a claim."""
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
) -> list[TextQuestion]:
    n = min(len(claimed), len(others))
    return [
        TextQuestion(scene.index, text, str(category), is_claimed)
        for pool, is_claimed in ((claimed, True), (others, False))
        for category in rng.permutation(list(pool))[:n]
    ]


def ask_model(
    model: LanguageModel, questions: Sequence[TextQuestion], formats: Sequence[str] = DEFAULT_FORMATS
) -> NDArray[np.bool_]:
    """Return the votes, bool (formats, questions). The model reads a long text in windows.

    Raises:
        RuntimeError: the model fails on a question. An evaluation has no unscored samples.
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


def ask_lexicon(reading: str, questions: Sequence[TextQuestion]) -> NDArray[np.bool_]:
    """Return whether the lexicon judge finds each category, bool (1, questions)."""
    texts = list(dict.fromkeys(asked.text for asked in questions))
    responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
    judgements = LexiconJudge(reading=reading).judge(responses)
    found = {
        text: {mention.category for mention in judgement.mentions}
        for text, judgement in zip(texts, judgements, strict=True)
    }
    return np.array([[asked.category in found[asked.text] for asked in questions]])


def measure(
    votes: NDArray[np.bool_], questions: Sequence[TextQuestion], *, resamples: int = RESAMPLES, seed: int = 0
) -> JudgeAccuracy:
    """Return the accuracy of votes, bool (voters, questions). Every vote counts."""
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

    def shares(totals: FloatArray) -> dict[str, Share]:
        tp, fn, tn, fp = (totals[..., i] for i in range(4))
        return {
            "recall": Share(tp, tp + fn),
            "specificity": Share(tn, tn + fp),
            "precision": Share(tp, tp + fp),
        }

    results = bootstrap(
        statistics,
        [asked.scene for asked in questions],
        compute,
        shares=shares,
        seed=seed,
        resamples=resamples,
    )
    return JudgeAccuracy(**{name: result.estimate() for name, result in results.items()})


def evaluate_judge(model: LanguageModel, *, n: int = 300, seed: int = 0) -> JudgeEvaluation:
    """Evaluate one judge on `n` scenes of the given seed, with all sets of questions in the default formats."""

    def read(questions: list[TextQuestion]) -> JudgeAccuracy:
        return measure(ask_model(model, questions), questions)

    def by_split(ask: Callable[[Split], list[TextQuestion]]) -> dict[Split, JudgeAccuracy]:
        return {"train": read(ask("train")), "test": read(ask("test"))}

    return JudgeEvaluation(
        scenes=n,
        seed=seed,
        formats=DEFAULT_FORMATS,
        descriptions=read(description_questions(n, seed)),
        denied_or_imagined=by_split(lambda split: passage_questions(n, seed, TRAPS, split)),
        look_alikes=by_split(lambda split: passage_questions(n, seed, ("look-alike",), split)),
    )
