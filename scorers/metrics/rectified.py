"""Variants of scores by an annotator's truth: prediction-powered, and by the labelled part alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import Computation, FloatArray, JudgedSample, Metric, RowMetric
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.scores import Family, Variant
from eidolon.scorers.core.types import ImageId, Mention
from eidolon.scorers.metrics.scoring import values_of
from eidolon.scorers.statistics.bootstrap import cluster_totals
from eidolon.scorers.statistics.prediction_powered import Powered, prediction_powered
from eidolon.scorers.statistics.small_samples import FEW

POWERED = "prediction-powered"
ALONE = "labelled part alone"
LEAST = 10
"""Fewest labelled images for a prediction-powered interval."""


@dataclass(frozen=True, slots=True)
class SampleTruth:
    """What is known of a sample beside its objects, where an annotator made the truth."""

    unsure: frozenset[str]
    """Categories that the annotator looked for and left open."""
    labelled: frozenset[str] | None
    """The true ones of the categories that it looked for; None outside of the labelled part."""


def rectified(
    samples: Sequence[JudgedSample],
    truths: Sequence[SampleTruth],
    metrics: Sequence[Metric],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Variant]:
    """Return the scores by both truths; none without a labelled part, or without metrics of single samples.

    All responses to an image are one cluster. Metrics whose statistics depend on other samples are left out.
    """
    counted = [metric for metric in metrics if isinstance(metric, RowMetric) and metric.row_by_row]
    known = [i for i, truth in enumerate(truths) if truth.labelled is not None]
    if not known or not counted:
        return []
    true = [with_labels(samples[i], truths[i]) for i in known]
    here = {samples[i].response.image_id for i in known}
    images = {s.response.image_id for s in samples}
    settings: dict[str, Any] = {"labelled_images": len(here), "other_images": len(images - here)}
    powered, alone = {}, {}
    for metric in counted:
        values: dict[str, Any] = values_of(
            metric,
            metric.statistics(true),
            [s.response.image_id for s in true],
            seed=seed,
            resamples=resamples,
        )
        alone[metric.family] = Family(**values)
        found: dict[str, Any] = _powered(metric, samples, true, here, values)
        powered[metric.family] = Family(**found)
    return [
        Variant(label=POWERED, settings=settings, metrics=powered),
        Variant(label=ALONE, settings=settings, metrics=alone),
    ]


def with_labels(sample: JudgedSample, truth: SampleTruth) -> JudgedSample:
    """Return a sample of the labelled part with the verdicts that its labels give.

    Categories that the annotator did not look for stay ignored: the labels do not say whether they are there.
    """
    labelled = truth.labelled or frozenset()

    def decided(mention: Mention) -> Mention:
        if mention.verdict == "ignored" and mention.category not in truth.unsure:
            return mention
        verdict = "grounded" if mention.category in labelled else "hallucinated"
        return mention.model_copy(update={"verdict": verdict})

    mentions = tuple(map(decided, sample.judgement.mentions))
    return replace(
        sample,
        judgement=sample.judgement.model_copy(update={"mentions": mentions}),
        objects=labelled,
        areas={},
        sources=None,
    )


def _powered(
    metric: Metric,
    samples: Sequence[JudgedSample],
    true: Sequence[JudgedSample],
    here: set[ImageId],
    alone: Mapping[str, Estimate],
) -> dict[str, Estimate]:
    """Return the prediction-powered estimate of each quantity."""
    inside = [s for s in samples if s.response.image_id in here]
    outside = [s for s in samples if s.response.image_id not in here]
    by_image = ByImage(
        *(_by_image(metric, part) for part in (true, inside, outside, [_without_truth(s) for s in true]))
    )
    return powered_estimates(metric, by_image, alone, len(samples))


@dataclass(frozen=True, slots=True)
class ByImage:
    """Summed statistics of each image, (images, k)."""

    labelled: FloatArray
    """Those of the labelled part by its labels."""
    predicted: FloatArray
    """Those of the labelled part by the annotator."""
    elsewhere: FloatArray
    """Those of the other images, by the annotator."""
    nothing: FloatArray
    """Those of the labelled part as if every truth were negative: what stays the same does not depend on the truth."""


def powered_estimates(
    metric: Computation, by_image: ByImage, alone: Mapping[str, Estimate], n: int
) -> dict[str, Estimate]:
    """Return the prediction-powered estimate of each quantity of a metric over `n` samples.

    `alone` are the estimates by the labelled part alone; they are returned where too little is labelled.
    """
    here = len(by_image.labelled)
    if here < LEAST or len(by_image.elsewhere) < 2:
        reason = (
            f"no interval: it takes {LEAST} labelled images that were responded to, and two others; here are "
            f"{here} labelled"
        )
        return {name: one.model_copy(update={"ci": None, "reason": reason}) for name, one in alone.items()}
    labelled, elsewhere = by_image.labelled, by_image.elsewhere
    found = prediction_powered(labelled, by_image.predicted, elsewhere, metric.compute)
    turned = prediction_powered(labelled, by_image.nothing, elsewhere, metric.compute, weight=0.0)
    return {
        q.name: _estimate(found[q.name], q.bounds, alone[q.name], n, depends=turned[q.name].differing > 0)
        for q in metric.quantities
    }


def _estimate(
    found: Powered, bounds: tuple[float, float], alone: Estimate, n: int, *, depends: bool
) -> Estimate:
    """Return a prediction-powered estimate; that of the labelled part alone where it cannot be trusted.

    With few labelled images on which the annotator errs, the variance of its errors is not known. An annotator
    without an error on 50 images may err on 6 % of all.
    """
    if depends and found.differing < FEW:
        why = f"labelled part alone: the annotator errs on {found.differing} of its images, fewer than {FEW}"
        return alone.model_copy(update={"method": f"{why}; {alone.method}" if alone.method else why})
    if found.value != found.value or found.low != found.low:
        return alone
    low, high = bounds
    value = min(high, max(low, found.value))
    return Estimate(
        value=value,
        ci=(min(value, max(low, found.low)), max(value, min(high, found.high))),
        n=n,
        higher_is_better=alone.higher_is_better,
        method=f"prediction-powered, weight {found.weight:.3f}",
    )


def _by_image(metric: Metric, samples: Sequence[JudgedSample]) -> FloatArray:
    """Return the summed statistics of each image, in the order of the ids."""
    return cluster_totals(metric.statistics(samples), [s.response.image_id for s in samples])


def _without_truth(sample: JudgedSample) -> JudgedSample:
    """Return the sample as if nothing were in the image: what stays the same does not depend on the truth."""
    mentions = tuple(m.model_copy(update={"verdict": "hallucinated"}) for m in sample.judgement.mentions)
    return replace(
        sample,
        judgement=sample.judgement.model_copy(update={"mentions": mentions}),
        objects=frozenset(),
        areas={},
        sources=None,
    )
