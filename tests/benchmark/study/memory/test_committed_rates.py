"""The committed study: its rates with few events have exact intervals, or none and the reason."""

from pathlib import Path

import numpy as np
import pytest

from bench.memory_exact_rates import GONE, RATES, with_few_events
from eidolon.benchmark.study.memory.page import STUDY
from eidolon.benchmark.study.memory.records import MemoryStudy
from eidolon.benchmark.study.memory.seeing import rates_of_sums, shares_of_sums
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.statistics.crossed_bootstrap import Crossed
from eidolon.scorers.statistics.small_samples import FEW, METHOD

RESULTS = Path(__file__).parents[4] / "results" / "memory"


def committed_rates() -> list[tuple[str, Estimate, int]]:
    """Return name, rate and trials of the rates of the committed study whose trials it records."""
    study = MemoryStudy.model_validate_json((RESULTS / STUDY).read_text(encoding="utf-8"))
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


def test_no_committed_rate_with_few_events_has_the_interval_of_a_bootstrap() -> None:
    few = [
        (name, rate)
        for name, rate, trials in committed_rates()
        if rate.value is not None
        and rate.ci is not None
        and min(round(rate.value * trials), trials - round(rate.value * trials)) < FEW
    ]
    assert len(few) >= 20
    for name, rate in few:
        assert rate.method == METHOD, name
        low, high = rate.ci or (0, 0)
        assert low < high, name
    assert sum(rate.reason == GONE for _, rate, _ in committed_rates()) == 10


@pytest.mark.parametrize("events", [0, 1])
@pytest.mark.parametrize("models", [1, 3])
def test_intervals_from_counts_equal_those_from_the_answers(events: int, models: int) -> None:
    images = 40
    answers = np.zeros((models, images, 3))
    answers[..., 0] = 2
    answers[0, 0, 1] = events
    draws = Crossed(images, seed=0, resamples=400)
    expected = draws.estimate(answers, "one", rates_of_sums, shares=shares_of_sums)["accuracy"].estimate()
    rate = Estimate(value=expected.value, ci=(0.0, 0.0))
    found, what = with_few_events(rate, 2 * images * models, images=images, models=models)
    if events and models > 1:
        assert (what, found.ci, found.reason) == ("removed", None, GONE)
    else:
        assert what == "exact"
        assert found.ci == pytest.approx(expected.ci)
        assert found.method == expected.method == METHOD


def test_rates_with_many_events_are_kept() -> None:
    rate = Estimate(value=0.5, ci=(0.4, 0.6))
    assert with_few_events(rate, 100, images=50, models=1) == (rate, "kept")
