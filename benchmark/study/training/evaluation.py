"""Evaluates a checkpoint on held-out scenes: recall, hallucination, and whether it uses the image.

To test the last, the same model describes the same scenes with shuffled images. A model that writes from its prior
alone gets the same scores.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from eidolon.benchmark.scenes.dialogue import DESCRIBE_PROMPTS
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render
from eidolon.benchmark.scenes.text import ask_presence
from eidolon.models.base.defaults import DEFAULT_TEMPERATURE
from eidolon.models.base.model import Decoding, Model, Request, request_seed
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, JudgedSample, Share
from eidolon.scorers.core.types import Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.metrics.chair import Chair
from eidolon.scorers.statistics.bootstrap import bootstrap, cluster_totals, percentiles, resample

MAX_NEW_TOKENS = 400
"""Limit of a description."""
BATCH_SIZE = 32
"""Requests at once."""


def _from_bounds(fields: object) -> object:
    if not isinstance(fields, dict) or "low" not in fields:
        return fields
    low, high = fields["low"], fields["high"]
    return {"value": fields["value"], "ci": None if low is None else (low, high)}


def _to_bounds(estimate: Estimate) -> dict[str, float | None]:
    low, high = estimate.ci or (None, None)
    return {"value": estimate.value, "low": low, "high": high}


BoundedEstimate: TypeAlias = Annotated[Estimate, BeforeValidator(_from_bounds), PlainSerializer(_to_bounds)]
"""An estimate as `evaluation.json` holds it: `value`, `low` and `high`, null where undefined."""


class Evaluation(BaseModel):
    """Held-out results of a checkpoint. The intervals are bootstraps over scenes; those of differences are paired."""

    model_config = ConfigDict(frozen=True)

    scenes: int
    seed: int
    recall: BoundedEstimate
    chair_i: BoundedEstimate
    chair_s: BoundedEstimate
    words: BoundedEstimate
    """Mean number of words in a description."""
    temperature: float
    truncated: int
    """Number of descriptions that reached the limit of new tokens."""
    yes_no_accuracy: BoundedEstimate
    """Accuracy of answers about one present and one absent object of each scene, right after the image."""
    yes_rate: float
    chair_i_rise_shuffled: BoundedEstimate
    """CHAIR_i with shuffled images minus CHAIR_i."""
    recall_drop_shuffled: BoundedEstimate
    """Recall minus recall with shuffled images."""


def evaluate(model: Model, *, n: int = 300, seed: int = 0, resamples: int = 2000) -> Evaluation:
    """Return the results of a model on `n` scenes of the given seed.

    Descriptions are sampled as in a run and judged by the careful lexicon. Yes/no questions are answered greedily.
    """
    scenes = [make_scene(seed, index, Dials()) for index in range(n)]
    images = [render(scene) for scene in scenes]
    shift = np.roll(np.arange(n), 1)
    described, truncated = _describe(model, scenes, images, seed)
    shuffled, _ = _describe(model, scenes, [images[i] for i in shift], seed)
    ids = [scene.index for scene in scenes]
    chair = Chair()
    own = bootstrap(described, ids, chair.compute, shares=chair.shares, seed=seed, resamples=resamples)
    drawn = resample(cluster_totals(described, ids), chair.compute, seed=seed, resamples=resamples)
    drawn_shuffled = resample(cluster_totals(shuffled, ids), chair.compute, seed=seed, resamples=resamples)
    values, values_shuffled = chair.compute(described.sum(0)), chair.compute(shuffled.sum(0))

    def difference(name: str, sign: int) -> Estimate:
        low, high = percentiles(sign * (drawn_shuffled[name] - drawn[name]))
        value = sign * (values_shuffled[name] - values[name])
        return Estimate.of(float(value), float(low), float(high))

    answers = _ask(model, scenes, images, seed)
    right = bootstrap(
        answers[:, :1],
        ids,
        lambda totals: {"accuracy": totals[..., 0] / (2 * n)},
        shares=lambda totals: {"accuracy": Share(totals[..., 0], np.full(totals.shape[:-1], 2.0 * n))},
        seed=seed,
        resamples=resamples,
    )["accuracy"]
    estimates = {name: own[name].estimate() for name in ("recall", "chair_i", "chair_s", "words")}
    return Evaluation(
        scenes=n,
        seed=seed,
        **estimates,
        temperature=DEFAULT_TEMPERATURE,
        truncated=truncated,
        yes_no_accuracy=right.estimate(),
        yes_rate=float(answers[:, 1].sum() / (2 * n)),
        chair_i_rise_shuffled=difference("chair_i", 1),
        recall_drop_shuffled=difference("recall", -1),
    )


def evaluate_checkpoint(path: Path, *, n: int = 300, seed: int = 0) -> Evaluation:
    """Return the results of the checkpoint in a folder, as `evaluate`."""
    from eidolon.models.backends.transformers import TransformersModel

    return evaluate(TransformersModel(str(path)), n=n, seed=seed)


def _describe(
    model: Model, scenes: Sequence[Scene], images: Sequence[Image.Image], seed: int
) -> tuple[FloatArray, int]:
    """Return the CHAIR statistics of the descriptions, and how many reached the limit of new tokens."""
    decoding = Decoding(MAX_NEW_TOKENS, DEFAULT_TEMPERATURE)
    responses: list[Response] = []
    for start in range(0, len(scenes), BATCH_SIZE):
        requests = [
            Request(
                str(scene.index),
                scene.index,
                image,
                DESCRIBE_PROMPTS[0],
                decoding=replace(decoding, seed=request_seed(seed, str(scene.index), 0)),
            )
            for scene, image in zip(scenes[start : start + BATCH_SIZE], images[start:], strict=False)
        ]
        responses += model.generate(requests)
    # The gibberish of an untrained model counts as a text that names no object.
    judged = [
        judgement.model_copy(update={"unscored": None})
        for judgement in LexiconJudge(reading="careful").judge(responses)
    ]
    samples = [
        JudgedSample(response, with_verdicts(judgement, scene.objects), frozenset(scene.objects))
        for response, judgement, scene in zip(responses, judged, scenes, strict=True)
    ]
    return Chair().statistics(samples), sum(r.finish_reason == "length" for r in responses)


def _ask(model: Model, scenes: Sequence[Scene], images: Sequence[Image.Image], seed: int) -> FloatArray:
    """Return the number of right and of yes answers to the two questions of each scene, shape (scenes, 2)."""
    decoding = Decoding(max_new_tokens=4)
    requests, truths = [], []
    for scene, image in zip(scenes, images, strict=True):
        rng = scene.rng("held-out questions")
        for present in (True, False):
            question = ask_presence(scene, rng, present)
            requests.append(
                Request(f"{scene.index}-{present}", scene.index, image, question.text, decoding=decoding)
            )
            truths.append(question.answer)
    answers = [(r.response or "").strip().rstrip(".") for start in range(0, len(requests), BATCH_SIZE)
            for r in model.generate(requests[start : start + BATCH_SIZE])]  # fmt: skip
    right = np.array([answer == truth for answer, truth in zip(answers, truths, strict=True)], dtype=float)
    yes = np.array([answer == "Yes" for answer in answers], dtype=float)
    return np.stack([right.reshape(-1, 2).sum(1), yes.reshape(-1, 2).sum(1)], axis=1)
