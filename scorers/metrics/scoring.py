"""`scores.json` from judged samples and metrics: every quantity with its interval, counts and variants."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eidolon.scorers.core.calibration import Calibration
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import (
    Bounded,
    CategoryMetric,
    Computation,
    CountingMetric,
    FittedMetric,
    FloatArray,
    JudgedSample,
    Metric,
    Quantity,
    Share,
    ShareMetric,
    VariantsMetric,
)
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.scores import (
    SCHEMA,
    CategoryScores,
    Family,
    Intervals,
    ResponseKinds,
    Samples,
    Scores,
    Variant,
)
from eidolon.scorers.core.types import Edit, ImageId, Response
from eidolon.scorers.statistics.bootstrap import (
    LEVEL,
    MAX_UNDEFINED_SHARE,
    BootstrapResult,
    Shares,
    bootstrap,
    column_sums,
    method,
)
from eidolon.scorers.text.response_kinds import count_edits, count_kinds


def score(
    samples: Sequence[JudgedSample],
    metrics: Sequence[Metric],
    *,
    signature: str,
    unscored: int = 0,
    requested: int | None = None,
    vocabulary: Sequence[str] | None = None,
    variants: Sequence[Variant] = (),
    calibration: Calibration | None = None,
    responses: Iterable[Response] | None = None,
    edits: Iterable[Sequence[Edit]] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Scores:
    """Return the scores of the judged samples. `unscored` is the number of responses that are not among them.

    `requested` is the number of responses that the run was to have, by default those that exist. With a judge's
    closed `vocabulary`, metrics that support it are also reported for each category. Metrics with other settings add
    variants to `variants`. `responses` are counted by kind, by default the scored ones: a judge may leave some
    unscored because of their kind. `edits` are those of each response before it was judged, counted by rule.

    Raises:
        ValueError: a response occurs twice, or two metrics have the same family.
    """
    _check_distinct([(s.response.sample_id, s.response.generation) for s in samples], "response")
    _check_distinct([m.family for m in metrics], "metric family")
    present = len(samples) + unscored
    statistics = {m.family: m.statistics(samples) for m in metrics}
    return Scores(
        schema=SCHEMA,
        signature=signature,
        n=Samples(
            requested=present if requested is None else requested,
            samples=present,
            scored=len(samples),
            unscored=unscored,
        ),
        metrics={
            m.family: score_family(
                samples,
                m,
                statistics=statistics[m.family],
                vocabulary=vocabulary,
                seed=seed,
                resamples=resamples,
            )
            for m in metrics
        },
        counts={m.family: _counts(m, samples, statistics[m.family]) for m in metrics},
        responses=ResponseKinds(
            **count_kinds((s.response for s in samples) if responses is None else responses),
            edited=count_edits(edits),
        ),
        intervals=Intervals(
            method=method(seed=seed, resamples=resamples),
            level=LEVEL,
            resamples=resamples,
            seed=seed,
            clusters=len({s.response.image_id for s in samples}),
        ),
        calibration=calibration,
        variants=(*variants, *_variants(samples, metrics, seed=seed, resamples=resamples)),
    )


def score_family(
    samples: Sequence[JudgedSample],
    metric: Metric,
    *,
    statistics: FloatArray | None = None,
    vocabulary: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Family:
    """Return the quantities of one metric with intervals: one entry of `metrics`, in the scores or in a variant.

    `statistics` are those of the metric, if the caller has them already.
    """
    images = [s.response.image_id for s in samples]
    if statistics is None:
        statistics = metric.statistics(samples)
    values: dict[str, Any] = values_of(metric, statistics, images, seed=seed, resamples=resamples)
    if isinstance(metric, FittedMetric):
        values |= _fitted_values(metric, samples)
    per_category = None
    if vocabulary is not None and isinstance(metric, CategoryMetric):
        split = metric.by_category(vocabulary)
        per_category = category_values(
            split, split.statistics(samples), images, vocabulary, seed=seed, resamples=resamples
        )
    return Family(per_category=per_category, **values)


def _fitted_values(metric: FittedMetric, samples: Sequence[JudgedSample]) -> dict[str, Estimate]:
    found = metric.fit(samples)
    return {
        q.name: Estimate(
            value=found[q.name].value,
            ci=found[q.name].ci,
            n=len(samples),
            higher_is_better=q.higher_is_better,
            reason="no scored responses" if not samples else found[q.name].reason,
        )
        for q in metric.fitted_quantities
    }


def _variants(
    samples: Sequence[JudgedSample], metrics: Sequence[Metric], *, seed: int, resamples: int
) -> list[Variant]:
    return [
        Variant(
            label=other.label,
            settings=other.settings,
            metrics={m.family: score_family(samples, other.metric, seed=seed, resamples=resamples)},
        )
        for m in metrics
        if isinstance(m, VariantsMetric)
        for other in m.variants()
    ]


def _counts(
    metric: Metric, samples: Sequence[JudgedSample], statistics: FloatArray
) -> dict[str, int | float]:
    if isinstance(metric, CountingMetric):
        return metric.counts(samples)
    return named_counts(metric.columns, column_sums(statistics))


def assemble(
    metrics: dict[str, Family],
    images: Sequence[ImageId],
    *,
    signature: str,
    counts: dict[str, dict[str, int | float]],
    unscored: int = 0,
    requested: int | None = None,
    calibration: Calibration | None = None,
    variants: Sequence[Variant] = (),
    over: str = "images",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Scores:
    """Return the scores from computed metrics. `images` names the image of each scored sample.

    `unscored` is the number of samples that are not among them. `over` is what `images` are called if the inputs do
    not name the image of a sample.
    """
    present = len(images) + unscored
    return Scores(
        schema=SCHEMA,
        signature=signature,
        n=Samples(
            requested=present if requested is None else requested,
            samples=present,
            scored=len(images),
            unscored=unscored,
        ),
        metrics=metrics,
        counts=counts,
        intervals=Intervals(
            method=method(seed=seed, resamples=resamples, over=over),
            level=LEVEL,
            resamples=resamples,
            seed=seed,
            clusters=len(set(images)),
        ),
        calibration=calibration,
        variants=tuple(variants),
    )


def values_of(
    metric: Computation,
    statistics: FloatArray,
    images: Sequence[ImageId],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """Return each quantity with its interval, from statistics (samples, k) and the image of each sample."""
    results = bootstrap(
        statistics, images, metric.compute, shares=shares_of(metric), seed=seed, resamples=resamples
    )
    return estimates(metric, results, len(images), len(set(images)), resamples)


def estimates(
    metric: Computation,
    results: Mapping[str, BootstrapResult],
    n: int,
    clusters: int,
    resamples: int,
    at: tuple[int, ...] = (),
) -> dict[str, Estimate]:
    """Return each quantity with its interval, from the bootstrap of `n` samples in so many clusters.

    `at` is the index in the arrays of the quantities, () for a single number.
    """
    return {q.name: _estimate(q, results[q.name], at, n, clusters, resamples) for q in metric.quantities}


def shares_of(metric: Computation) -> Shares | None:
    """Return the function that counts the events of a metric's shares, and names its other quantities between 0 and 1.

    None if it has neither.
    """
    counted = metric.shares if isinstance(metric, ShareMetric) else None
    bounded = {q.name: Bounded() for q in metric.quantities if q.bounds == (0, 1)}
    if not bounded:
        return counted

    def shares(totals: FloatArray) -> dict[str, Share | Bounded]:
        return {**bounded, **(counted(totals) if counted else {})}

    return shares


def category_values(
    metric: Computation,
    statistics: FloatArray,
    images: Sequence[ImageId],
    vocabulary: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, CategoryScores]:
    """Return each quantity with its interval for each category, from category-major statistics (samples, categories ·
    k)."""
    results = bootstrap(
        statistics, images, metric.compute, shares=shares_of(metric), seed=seed, resamples=resamples
    )
    clusters = len(set(images))
    sums = column_sums(statistics).reshape(len(vocabulary), len(metric.columns))
    scores = {}
    for i, category in enumerate(vocabulary):
        values: dict[str, Any] = estimates(metric, results, len(images), clusters, resamples, (i,))
        scores[category] = CategoryScores(counts=named_counts(metric.columns, sums[i]), **values)
    return scores


def named_counts(columns: Sequence[str], sums: FloatArray) -> dict[str, int | float]:
    """Return sums of statistics by name, with whole numbers as integers."""
    return dict(zip(columns, _numbers(sums), strict=True))


def _estimate(
    quantity: Quantity, result: BootstrapResult, at: tuple[int, ...], n: int, clusters: int, resamples: int
) -> Estimate:
    found = result.estimate(*at)
    undefined = int(result.undefined_resamples[at])
    reason = None
    if n == 0:
        reason = "no scored responses"
    elif found.value is None:
        reason = f"undefined: {quantity.undefined}"
    elif resamples == 0:
        reason = "no interval: no resamples were asked for"
    elif clusters < 2:
        reason = "no interval: it takes at least two images"
    elif found.ci is None:
        reason = (
            f"no interval: undefined in {undefined} of {resamples} resamples, "
            f"more than {MAX_UNDEFINED_SHARE:.0%}"
        )
    return Estimate(
        value=found.value,
        ci=found.ci,
        n=n,
        higher_is_better=quantity.higher_is_better,
        reason=reason,
        undefined_resamples=0 if found.value is None else undefined,
        method=found.method,
    )


def _numbers(sums: FloatArray) -> list[int | float]:
    return [int(value) if value.is_integer() else value for value in sums.tolist()]


def _check_distinct(keys: Sequence[object], what: str) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"the {what} {key!r} occurs twice")
        seen.add(key)
