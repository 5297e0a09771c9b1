"""How often intervals by an annotator's truth cover the true rate, when images and labels are drawn again and again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from eidolon.benchmark.annotate.annotator import Looked
from eidolon.benchmark.annotate.decision import Facts, Rule, decide_all
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import JudgedSample, Metric
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.metrics.rectified import ALONE, POWERED, SampleTruth, rectified
from eidolon.scorers.metrics.scoring import values_of
from eidolon.scorers.statistics.bootstrap import column_sums


@dataclass(frozen=True, slots=True)
class DescribedImage:
    """An image whose truth is known: what an annotator says of it, and a description of it."""

    looked: Looked
    truth: tuple[str, ...]
    response: Response
    judgement: Judgement
    """What the judge found in the response, without verdicts."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One quantity in one draw."""

    powered: Estimate
    alone: Estimate
    """By the labelled part alone."""
    naive: Estimate
    """By the annotator's truth alone."""


def true_value(images: Sequence[DescribedImage], metric: Metric, quantity: str) -> float:
    """Return the quantity by the true truth of all images."""
    samples = [_judged(one, str(i), one.truth, ()) for i, one in enumerate(images)]
    return float(metric.compute(column_sums(metric.statistics(samples)))[quantity])


def draw_again(
    images: Sequence[DescribedImage],
    names: Sequence[str],
    metric: Metric,
    quantity: str,
    rule: Rule,
    *,
    labelled: int = 50,
    times: int = 200,
    seed: int = 0,
    resamples: int = 200,
) -> list[Drawn]:
    """Return the quantity in so many draws.

    Each draws as many images as there are, with replacement, so that the true value is that of all images. The first
    ones are the labelled part: calibration, cut and correction are made from them alone.
    """
    found = []
    for draw in range(times):
        chosen = random.Random(f"{seed}:{draw}").choices(range(len(images)), k=len(images))
        facts = [
            Facts(f"{k:05}", "", "", images[i].looked, images[i].truth if k < labelled else None)
            for k, i in enumerate(chosen)
        ]
        rows = decide_all(facts, names, rule).rows
        samples = [
            _judged(images[i], f"{k:05}", row.objects, row.unsure)
            for k, (i, row) in enumerate(zip(chosen, rows, strict=True))
        ]
        truths = [
            SampleTruth(frozenset(row.unsure), None if row.labelled is None else frozenset(row.labelled))
            for row in rows
        ]
        by = {v.label: v.metrics for v in rectified(samples, truths, [metric], resamples=resamples)}
        clusters = [sample.response.image_id for sample in samples]
        naive = values_of(metric, metric.statistics(samples), clusters, resamples=resamples)
        found.append(
            Drawn(by[POWERED][metric.family][quantity], by[ALONE][metric.family][quantity], naive[quantity])
        )
    return found


def covered(estimates: Sequence[Estimate], value: float) -> float:
    """Return the share of the intervals that hold the value."""
    return sum(one.ci is not None and one.ci[0] <= value <= one.ci[1] for one in estimates) / len(estimates)


def mean_width(estimates: Sequence[Estimate]) -> float:
    """Return the mean width of the intervals that there are."""
    widths = [one.ci[1] - one.ci[0] for one in estimates if one.ci is not None]
    return sum(widths) / len(widths) if widths else float("nan")


def _judged(
    one: DescribedImage, image_id: str, objects: Sequence[str], unsure: Sequence[str]
) -> JudgedSample:
    update = {"sample_id": image_id, "image_id": image_id}
    judgement = with_verdicts(one.judgement.model_copy(update=update), objects, unsure)
    return JudgedSample(one.response.model_copy(update=update), judgement, frozenset(objects))
