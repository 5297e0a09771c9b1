"""The committed study: computed from its archives, and rates with few events have exact intervals."""

from pathlib import Path

import pytest

from eidolon.benchmark.study.memory.analysis import analyse
from eidolon.benchmark.study.memory.archive import SUFFIX
from eidolon.benchmark.study.memory.bench import other_rules
from eidolon.benchmark.study.memory.checkpoints import find_checkpoints
from eidolon.benchmark.study.memory.comparisons import compare
from eidolon.benchmark.study.memory.measure import measure_checkpoint
from eidolon.benchmark.study.memory.page import STUDY
from eidolon.benchmark.study.memory.pools import Analysis, make_pools
from eidolon.benchmark.study.memory.records import MemoryStudy, MemoryVariant
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.statistics.small_samples import FEW, METHOD

RESULTS = Path(__file__).parents[4] / "results" / "memory"
RATES = ("accuracy", "accuracy_at_0", "yes_rate")


@pytest.fixture(scope="module")
def study() -> MemoryStudy:
    return MemoryStudy.model_validate_json((RESULTS / STUDY).read_text(encoding="utf-8"))


def committed_rates(study: MemoryStudy) -> list[tuple[str, Estimate, int]]:
    """Return name, rate and trials of the rates of the committed study whose trials it records."""
    found = []
    for variant in study.variants:
        described = len(variant.checkpoints) * study.settings.descriptions
        for name in {"truncated", "chair_s"} & set(variant.scores):
            found.append((f"{variant.variant} {name}", variant.scores[name], described))
        for one in variant.hallucination:
            found.append((f"{variant.variant} word {one.start}", one.hallucinated, one.mentions))
        for point in variant.retention:
            place = f"{variant.variant} {point.condition} {point.series} {point.n}"
            found += [(f"{place} {name}", getattr(point, name), point.questions) for name in RATES]
    return found


def test_no_committed_rate_with_few_events_has_the_interval_of_a_bootstrap(study: MemoryStudy) -> None:
    few = [
        (name, rate)
        for name, rate, trials in committed_rates(study)
        if rate.value is not None
        and rate.ci is not None
        and min(round(rate.value * trials), trials - round(rate.value * trials)) < FEW
    ]
    assert len(few) >= 20
    for name, rate in few:
        assert rate.method == METHOD, name
        low, high = rate.ci or (0, 0)
        assert low < high, name


def test_the_committed_study_has_every_archive(study: MemoryStudy) -> None:
    archives = {one.name: one.digest for one in find_checkpoints([str(RESULTS / "study")])}
    committed = {
        f"{variant.variant}-s{one.seed}": one.sha256
        for variant in study.variants
        if variant.filled_by is None
        for one in variant.checkpoints
    }
    assert committed == archives
    assert len(archives) >= 12


@pytest.mark.parametrize("variant", ["attention", "bm"])
def test_the_committed_values_are_those_of_the_archives(
    study: MemoryStudy, variant: str, tmp_path: Path
) -> None:
    def values(of: MemoryVariant) -> object:
        points = [(p.condition, p.series, p.n, p.questions, p.retention.value) for p in of.retention]
        scores = {name: estimate.value for name, estimate in of.scores.items()}
        return of.variant, of.checkpoints, of.yes_no_accuracy.value, scores, points

    archives = sorted((RESULTS / "study").glob(f"{variant}-lr*{SUFFIX}"))
    measured = [
        (measure_checkpoint(one, study.settings, tmp_path, selection=rule, say=lambda _: None), rule)
        for one in find_checkpoints([str(path) for path in archives])
        for rule in (None, *other_rules(one))
    ]
    computed, _ = analyse(make_pools(measured, study.settings.limit), {}, study.settings, resamples=0)
    committed = [one for one in study.variants if one.variant.partition("[")[0] == variant]
    assert [values(one) for one in computed] == [values(one) for one in committed]


def test_the_committed_comparisons_are_those_of_the_archives(study: MemoryStudy, tmp_path: Path) -> None:
    """Those that are tested over seeds need no resamples."""
    measured = [
        (measure_checkpoint(one, study.settings, tmp_path), None)
        for one in find_checkpoints([str(RESULTS / "study")])
    ]
    seeing = {one.variant: one.seeing for one in study.variants}
    pools = make_pools(measured, study.settings.limit)
    found = [one for one in compare(Analysis(study.settings, 0), pools, seeing) if one.registered]
    committed = [one for one in study.comparisons if one.registered]
    assert [(one.a, one.b, one.n, one.outcome) for one in found] == [
        (one.a, one.b, one.n, one.outcome) for one in committed
    ]
    for one, other in zip(found, committed, strict=True):
        assert (one.p, one.p_holm) == pytest.approx((other.p, other.p_holm))
        if one.p is not None:
            assert one.difference == other.difference
    assert {(one.p, one.outcome) for one in study.comparisons if not one.registered} <= {
        (None, "not tested"), (None, "not measured"),
    }  # fmt: skip
