"""POPE's rates by an annotator's truth: prediction-powered, and by the labelled part alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.scores import Family, Variant
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.metrics.rectified import ALONE, POWERED, ByImage, powered_estimates
from eidolon.scorers.metrics.scoring import values_of
from eidolon.scorers.statistics.bootstrap import cluster_totals


def rectified_answers(
    questions: Sequence[AnsweredQuestion],
    labels: Sequence[bool | None],
    metric: Pope,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Variant]:
    """Return the rates by both truths; none without a labelled part.

    The truth of a question is the annotator's, and its label is that of people, None outside of the labelled part.
    The questions stay those that the annotator's truth chose; the labels say how many of them have the other answer.
    All questions about an image are one cluster.
    """
    inside = [i for i, label in enumerate(labels) if label is not None]
    if not inside:
        return []
    true = [replace(questions[i], truth=bool(labels[i])) for i in inside]
    here = {question.image_id for question in true}
    outside = [question for question in questions if question.image_id not in here]

    def by_image(part: Sequence[AnsweredQuestion]) -> FloatArray:
        return cluster_totals(metric.statistics(part), [question.image_id for question in part])

    alone: dict[str, Estimate] = values_of(
        metric,
        metric.statistics(true),
        [question.image_id for question in true],
        seed=seed,
        resamples=resamples,
    )
    statistics = ByImage(
        labelled=by_image(true),
        predicted=by_image([questions[i] for i in inside]),
        elsewhere=by_image(outside),
        nothing=by_image([replace(question, truth=False) for question in true]),
    )
    powered = powered_estimates(metric, statistics, alone, len(questions))
    images = {question.image_id for question in outside}
    settings: dict[str, Any] = {"labelled_images": len(here), "other_images": len(images)}
    return [
        Variant(label=label, settings=settings, metrics={metric.family: Family(**_fields(found))})
        for label, found in ((POWERED, powered), (ALONE, alone))
    ]


def _fields(found: dict[str, Estimate]) -> dict[str, Any]:
    return {**found}
