"""Evaluates an aligner on held-out scenes: retrieval of captions, and presence of the categories."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render
from eidolon.benchmark.scenes.text import caption
from eidolon.benchmark.scenes.world import VOCABULARY
from eidolon.benchmark.study.training.evaluation import BoundedEstimate
from eidolon.models.aligner.aligner import Aligner
from eidolon.scorers.core.metric import FloatArray, Share, ratio
from eidolon.scorers.statistics.bootstrap import bootstrap

SIZES = (("small", 0.0, 0.02), ("medium", 0.02, 0.05), ("large", 0.05, 1.0))
"""Bounds of an object's area, as a share of the image."""


class AlignerEvaluation(BaseModel):
    """Held-out results of an aligner. The 95 % intervals are bootstraps over scenes."""

    model_config = ConfigDict(frozen=True)

    scenes: int
    seed: int
    image_to_text: BoundedEstimate
    """Share of the pictures whose own caption is the nearest of all captions."""
    text_to_image: BoundedEstimate
    precision: BoundedEstimate
    """Precision of the names with log odds above 0, over all scenes and categories."""
    recall: BoundedEstimate
    specificity: BoundedEstimate
    recall_by_size: dict[str, float | None]
    """By the area of the object's largest box: small below 2 %, medium below 5 %, large."""
    average_precision: float
    """Mean over categories of the average precision of the ranking of scenes."""


def nearest_is_own(scores: NDArray[np.float32]) -> FloatArray:
    """Return 1 for each row whose largest value is on the diagonal, else 0; a tie is wrong."""
    own = np.diagonal(scores)
    hits: FloatArray = ((scores >= own[:, None]).sum(1) == 1).astype(float)
    return hits


def average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float | None:
    """Return the average precision of a ranking: the mean of the precision at each true item. None without one."""
    if not truth.any():
        return None
    ranked = truth[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean())


def evaluate_aligner(
    aligner: Aligner, *, n: int = 300, seed: int = 0, resamples: int = 2000
) -> AlignerEvaluation:
    """Return the results of an aligner on `n` scenes of the given seed."""
    scenes = [make_scene(seed, index, Dials()) for index in range(n)]
    images = aligner.embed_images([render(scene) for scene in scenes])
    captions = aligner.embed_texts([caption(scene, scene.rng("held-out caption")) for scene in scenes])
    log_odds = aligner.log_odds(images, aligner.embed_texts(VOCABULARY))
    truth = np.array([[name in scene.objects for name in VOCABULARY] for scene in scenes])
    found = log_odds > 0
    counts = [found & truth, found & ~truth, ~found & truth, ~found & ~truth]
    columns = [
        nearest_is_own(images @ captions.T),
        nearest_is_own(captions @ images.T),
        *(count.sum(1).astype(float) for count in counts),
    ]

    def parts(totals: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
        tp, fp, fn, tn = (totals[..., i] for i in range(2, 6))
        whole = np.full(totals.shape[:-1], float(n))
        return {
            "image_to_text": (totals[..., 0], whole),
            "text_to_image": (totals[..., 1], whole),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "specificity": (tn, tn + fp),
        }

    results = bootstrap(
        np.stack(columns, axis=-1),
        [scene.index for scene in scenes],
        lambda totals: {name: ratio(*part) for name, part in parts(totals).items()},
        shares=lambda totals: {name: Share(*part) for name, part in parts(totals).items()},
        seed=seed,
        resamples=resamples,
    )
    precisions = [average_precision(log_odds[:, k], truth[:, k]) for k in range(len(VOCABULARY))]
    return AlignerEvaluation(
        scenes=n,
        seed=seed,
        **{name: result.estimate() for name, result in results.items()},
        recall_by_size=recall_by_size(scenes, found),
        average_precision=float(np.mean([value for value in precisions if value is not None])),
    )


def recall_by_size(scenes: Sequence[Scene], found: NDArray[np.bool_]) -> dict[str, float | None]:
    """Return the recall of objects whose largest box has a size between the bounds; None where there are none."""
    hits: dict[str, list[bool]] = {name: [] for name, _, _ in SIZES}
    for row, scene in zip(found, scenes, strict=True):
        for thing in scene.things:
            size = next(name for name, low, high in SIZES if low <= thing.area < high)
            hits[size].append(bool(row[VOCABULARY.index(thing.category)]))
    return {name: float(np.mean(values)) if values else None for name, values in hits.items()}
