"""What a checkpoint can do on scenes it was never trained on: does it see, does it err, does it look?

Looking is shown by an experiment: the same model is asked about the same scenes with the pictures dealt to the
wrong samples. A model that writes from its prior alone would score the same.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import SupportsFloat

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from eidolon.benchmark.scenes.dialogue import DESCRIBE_PROMPTS
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render
from eidolon.benchmark.scenes.text import ask_presence
from eidolon.models.base.model import DEFAULT_TEMPERATURE, Decoding, Model, Request, request_seed
from eidolon.scorers.core.metric import FloatArray, JudgedSample
from eidolon.scorers.core.types import Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.metrics.chair import Chair
from eidolon.scorers.statistics.bootstrap import bootstrap, cluster_totals, percentiles, resample

MAX_NEW_TOKENS = 400
BATCH_SIZE = 32


class Interval(BaseModel):
    """A value with its 95 % interval; None where it is undefined (CHAIR_i of a model that names nothing)."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, value: SupportsFloat, low: SupportsFloat, high: SupportsFloat) -> "Interval":
        numbers = [None if math.isnan(number) else number for number in map(float, (value, low, high))]
        return cls(value=numbers[0], low=numbers[1], high=numbers[2])

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        if self.low is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Evaluation(BaseModel):
    """Held-out results of a checkpoint; intervals are bootstraps over scenes, differences paired."""

    model_config = ConfigDict(frozen=True)

    scenes: int
    seed: int
    recall: Interval
    chair_i: Interval
    chair_s: Interval
    words: Interval
    """Mean words of a description."""
    temperature: float
    truncated: int
    """Descriptions that did not end by themselves."""
    yes_no_accuracy: Interval
    """On one present and one absent object a scene, asked right after the picture."""
    yes_rate: float
    chair_i_rise_shuffled: Interval
    """CHAIR_i with shuffled pictures minus CHAIR_i."""
    recall_drop_shuffled: Interval
    """Recall minus recall with shuffled pictures."""


def evaluate(model: Model, *, n: int = 300, seed: int = 0, resamples: int = 2000) -> Evaluation:
    """Evaluate a model on `n` scenes of the given seed: sampled as a run samples, judged by the careful lexicon.

    Yes/no questions are answered greedily.
    """
    scenes = [make_scene(seed, index, Dials()) for index in range(n)]
    pictures = [render(scene) for scene in scenes]
    shift = np.roll(np.arange(n), 1)
    described, truncated = _describe(model, scenes, pictures, seed)
    shuffled, _ = _describe(model, scenes, [pictures[i] for i in shift], seed)
    ids = [scene.index for scene in scenes]
    chair = Chair()
    own = bootstrap(described, ids, chair.compute, seed=seed, resamples=resamples)
    drawn = resample(cluster_totals(described, ids), chair.compute, seed=seed, resamples=resamples)
    drawn_shuffled = resample(cluster_totals(shuffled, ids), chair.compute, seed=seed, resamples=resamples)
    values, values_shuffled = chair.compute(described.sum(0)), chair.compute(shuffled.sum(0))

    def difference(name: str, sign: int) -> Interval:
        low, high = percentiles(sign * (drawn_shuffled[name] - drawn[name]))
        value = sign * (values_shuffled[name] - values[name])
        return Interval.of(value, low, high)

    answers = _ask(model, scenes, pictures, seed)
    right = bootstrap(
        answers[:, :1],
        ids,
        lambda totals: {"accuracy": totals[..., 0] / (2 * n)},
        seed=seed,
        resamples=resamples,
    )["accuracy"]
    estimates = {
        name: Interval.of(own[name].value, own[name].low, own[name].high)
        for name in ("recall", "chair_i", "chair_s", "words")
    }
    return Evaluation(
        scenes=n,
        seed=seed,
        **estimates,
        temperature=DEFAULT_TEMPERATURE,
        truncated=truncated,
        yes_no_accuracy=Interval.of(right.value, right.low, right.high),
        yes_rate=float(answers[:, 1].sum() / (2 * n)),
        chair_i_rise_shuffled=difference("chair_i", 1),
        recall_drop_shuffled=difference("recall", -1),
    )


def evaluate_checkpoint(path: Path, *, n: int = 300, seed: int = 0) -> Evaluation:
    """Evaluate the checkpoint in a folder."""
    from eidolon.models.backends.transformers import TransformersModel

    return evaluate(TransformersModel(str(path)), n=n, seed=seed)


def _describe(
    model: Model, scenes: Sequence[Scene], pictures: Sequence[Image.Image], seed: int
) -> tuple[FloatArray, int]:
    """Return the CHAIR statistics of the descriptions, and how many did not end by themselves."""
    decoding = Decoding(MAX_NEW_TOKENS, DEFAULT_TEMPERATURE)
    responses: list[Response] = []
    for start in range(0, len(scenes), BATCH_SIZE):
        requests = [
            Request(
                str(scene.index),
                scene.index,
                picture,
                DESCRIBE_PROMPTS[0],
                decoding=replace(decoding, seed=request_seed(seed, str(scene.index), 0)),
            )
            for scene, picture in zip(scenes[start : start + BATCH_SIZE], pictures[start:], strict=False)
        ]
        responses += model.generate(requests)
    # Gibberish of a model that has not learned to write names nothing.
    judged = [
        judgement.model_copy(update={"unscored": None})
        for judgement in LexiconJudge(reading="careful").judge(responses)
    ]
    samples = [
        JudgedSample(response, with_verdicts(judgement, scene.objects), frozenset(scene.objects))
        for response, judgement, scene in zip(responses, judged, scenes, strict=True)
    ]
    return Chair().statistics(samples), sum(r.finish_reason == "length" for r in responses)


def _ask(model: Model, scenes: Sequence[Scene], pictures: Sequence[Image.Image], seed: int) -> FloatArray:
    """Return (right answers, yes answers) of each scene's two questions, shape (scenes, 2)."""
    decoding = Decoding(max_new_tokens=4)
    requests, truths = [], []
    for scene, picture in zip(scenes, pictures, strict=True):
        rng = scene.rng("held-out questions")
        for present in (True, False):
            question = ask_presence(scene, rng, present)
            requests.append(
                Request(f"{scene.index}-{present}", scene.index, picture, question.text, decoding=decoding)
            )
            truths.append(question.answer)
    said = [(r.response or "").strip().rstrip(".") for start in range(0, len(requests), BATCH_SIZE)
            for r in model.generate(requests[start : start + BATCH_SIZE])]  # fmt: skip
    right = np.array([answer == truth for answer, truth in zip(said, truths, strict=True)], dtype=float)
    yes = np.array([answer == "Yes" for answer in said], dtype=float)
    return np.stack([right.reshape(-1, 2).sum(1), yes.reshape(-1, 2).sum(1)], axis=1)
