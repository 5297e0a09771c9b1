"""The fading rate on numbers with a known answer, and every number compared with a naive twin."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.forgetting.dependency import PART, WIDTH, pdm_table
from eidolon.scorers.forgetting.fading import ROUNDING, TokenSeries, fit_fade
from eidolon.scorers.forgetting.token_kinds import KINDS


def series(
    rate: float,
    n: int = 30,
    *,
    spread: float = 0.0,
    per_image: int = 1,
    lengths: tuple[int, int] = (20, 120),
    bend: float = 0.0,
    seed: int = 0,
) -> list[TokenSeries]:
    """Return responses with dependency level · e^{-λt}. Each has its own level, lower for long ones."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        length = int(rng.integers(*lengths))
        t = np.arange(length)
        kinds = tuple(KINDS[i] for i in rng.choice(4, size=length, p=[0.1, 0.2, 0.6, 0.1]))
        level = rng.normal(0, 0.5) - 0.02 * length + np.array([2.0 * (kind == "object") for kind in kinds])
        size = np.exp(level - rate * t + bend * (t / 100) ** 2 + spread * rng.standard_normal(length))
        verdicts = tuple(
            ("grounded", "hallucinated")[int(rng.random() < 0.3)] if kind == "object" else None
            for kind in kinds
        )
        seen = np.tanh(size / 4)
        made.append(TokenSeries(index // per_image, seen, size, kinds, verdicts, seen, size**2))
    return made


@pytest.mark.parametrize("rate", [0.02, 0.005, -0.01])
def test_an_exact_decay_is_recovered_exactly(rate: float) -> None:
    """The level falls with the length of the response, which a pooled line would report as fading."""
    fit = fit_fade(series(rate), "", by_kind=True, resamples=200)
    assert fit.rate == pytest.approx(rate, rel=1e-9)
    assert fit.r2 == pytest.approx(1)
    assert fit.curvature == pytest.approx(0, abs=1e-6)
    assert fit.decay_per_100 == pytest.approx(1 - math.exp(-100 * rate))
    assert fit.finding == ("decay" if rate > 0 else "growth")
    assert fit.half_life == (pytest.approx(math.log(2) / rate) if rate > 0 else None)


def test_a_noisy_decay_is_recovered_within_two_per_cent() -> None:
    fit = fit_fade(series(0.02, 400, spread=0.8), "", by_kind=True, resamples=200)
    assert fit.rate == pytest.approx(0.02, rel=0.02)
    assert fit.r2 is not None
    assert 0.1 < fit.r2 < 0.7
    assert fit.curvature_ci is not None
    assert fit.curvature_ci[0] < 0 < fit.curvature_ci[1]


@pytest.mark.parametrize("rate", [0.0, 0.006])
def test_intervals_cover(rate: float) -> None:
    """Two responses to an image with the same noise level: 95 % intervals over 60 images, 100 times."""
    fits = [
        fit_fade(series(rate, 120, spread=0.8, per_image=2, seed=s), "", by_kind=True, resamples=300)
        for s in range(100)
    ]
    covered = sum(fit.rate_ci is not None and fit.rate_ci[0] <= rate <= fit.rate_ci[1] for fit in fits)
    assert 88 <= covered <= 100
    if not rate:
        assert sum(fit.finding == "no decay" for fit in fits) == covered


def test_two_tokens_that_grow_at_once_are_still_numbers() -> None:
    made = [
        TokenSeries(i, np.ones(2), np.array([1e-3, 1e6 * (i + 1)]), ("content",) * 2, (None,) * 2)
        for i in range(3)
    ]
    fit = fit_fade(made, "", resamples=50)
    assert fit.rate == pytest.approx(-(math.log(6) / 3 + 9 * math.log(10)))
    assert fit.decay_per_100 is not None
    assert math.isfinite(fit.decay_per_100)
    assert fit.curvature is None, "two places tell of no curve"
    assert "Infinity" not in pdm_table(made, without="dropped", resamples=50).to_json()


def test_a_bend_is_noticed() -> None:
    fit = fit_fade(series(0.02, 200, spread=0.5, bend=1.5), "", by_kind=True, resamples=200)
    assert fit.curvature == pytest.approx(1.5, rel=0.15)
    assert fit.curvature_ci is not None
    assert fit.curvature_ci[0] > 0


def test_a_mix_of_kinds_that_changes_is_no_fading_with_levels_by_kind() -> None:
    """Objects come first, other tokens later. Without levels by kind this looks like decay."""
    made = []
    for image in range(40):
        kinds = ("object",) * 10 + ("function",) * 20
        size = np.array([3.0] * 10 + [0.1] * 20) * np.exp(0.01 * image)
        made.append(TokenSeries(image, size / 4, size, kinds, (None,) * 30))
    assert (fit_fade(made, "", resamples=50).rate or 0) > 0.05
    assert fit_fade(made, "", by_kind=True, resamples=50).rate == pytest.approx(0, abs=1e-12)


def test_the_fit_against_dummy_variables() -> None:
    """Least squares with a column for each response and kind, and the same with t²."""
    made = series(0.013, 7, spread=0.4)
    for by_kind in (False, True):
        groups, t, y = [], [], []
        for index, one in enumerate(made):
            for at, (kind, size) in enumerate(zip(one.kinds, one.difference, strict=True)):
                groups.append((index, kind if by_kind else None))
                t.append(at)
                y.append(math.log(size))
        names = sorted(set(groups), key=str)
        dummies = np.array([[float(group == name) for name in names] for group in groups])
        x = np.array(t, dtype=float)
        line = np.linalg.lstsq(np.column_stack([x, dummies]), np.array(y), rcond=None)[0]
        bent = np.linalg.lstsq(np.column_stack([(x / 100) ** 2, x, dummies]), np.array(y), rcond=None)[0]
        levels = np.linalg.lstsq(dummies, np.array(y), rcond=None)[0]
        rest, around = (
            float(((np.array(y) - design @ found) ** 2).sum())
            for design, found in ((np.column_stack([x, dummies]), line), (dummies, levels))
        )
        fit = fit_fade(made, "", by_kind=by_kind, resamples=10)
        assert fit.rate == pytest.approx(-line[0], rel=1e-8)
        assert fit.curvature == pytest.approx(bent[0], rel=1e-6)
        assert fit.r2 == pytest.approx(1 - rest / around, rel=1e-6)
        assert (fit.responses, fit.tokens) == (7, len(y))


def test_a_model_that_ignores_the_picture_has_no_rate() -> None:
    blind = [
        TokenSeries(i, np.zeros(9), np.full(9, ROUNDING / 10), ("content",) * 9, (None,) * 9)
        for i in range(4)
    ]
    fit = fit_fade(blind, "")
    assert fit.rate is None
    assert fit.rounding == 36
    assert fit.reason == "most tokens are the same with the picture and without"


def test_too_little_data_gives_a_reason() -> None:
    one = TokenSeries(0, np.ones(1), np.ones(1), ("content",), (None,))
    for given_ in ([], [one], [one, one]):
        fit = fit_fade(given_, "")
        assert (fit.rate, fit.reason) == (None, "no response has two such tokens")
    single = fit_fade(series(0.02, 1), "")
    assert single.rate is not None, "one image has a rate, but no interval and so no finding"
    assert (single.rate_ci, single.finding, single.half_life) == (None, None, None)


def mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def test_curves_means_and_fixed_sets_against_loops() -> None:
    made = series(0.01, 12, spread=0.6, lengths=(5, 90))
    table = pdm_table(made, without="dropped", survival=40, resamples=20)
    tokens = [
        (len(one.hellinger), at, float(h), kind, verdict)
        for one in made
        for at, (h, kind, verdict) in enumerate(zip(one.hellinger, one.kinds, one.verdicts, strict=True))
    ]
    assert table.tokens == len(tokens)
    assert sum(table.kinds.values()) == len(tokens)
    for found in table.means:
        kind, _, verdict = found.label.partition(", ")
        chosen = [h for _, _, h, k, v in tokens if kind in ("all", k) and verdict in ("", v)]
        assert found.tokens == len(chosen)
        assert found.value == pytest.approx(mean(chosen))
    assert {curve.survivors for curve in table.curves} == {False, True}
    for curve in table.curves:
        for point in curve.points:
            assert point.end is not None
            chosen = [
                h
                for length, at, h, k, _ in tokens
                if curve.label in ("all", k)
                and point.start <= at < point.end
                and (not curve.survivors or length >= 40)
            ]
            assert point.tokens == len(chosen)
            assert point.value == (None if not chosen else pytest.approx(mean(chosen)))
            lengths = [len(one.hellinger) for one in made]
            alive = [n for n in lengths if n > point.start and (not curve.survivors or n >= 40)]
            assert point.alive == len(alive)
        last = max(p.start for p in curve.points)
        assert last + WIDTH >= (40 if curve.survivors else max(len(one.hellinger) for one in made))
    for fixed in table.fixed_sets:
        chosen_ = [
            [h for n, at, h, k, _ in tokens if n >= 40 and fixed.label in ("all", k) and at in part]
            for part in (range(PART), range(40 - PART, 40))
        ]
        assert fixed.responses == sum(len(one.hellinger) >= 40 for one in made)
        for part, values in zip((fixed.early, fixed.late), chosen_, strict=True):
            assert part.value == (None if not values else pytest.approx(mean(values)))


def test_the_last_bin_is_open_where_responses_go_on() -> None:
    long = TokenSeries(0, np.linspace(1, 0, 300), np.ones(300), ("content",) * 300, (None,) * 300)
    points = pdm_table([long], without="zeroed", resamples=0).curves[0].points
    assert (points[-1].end, points[-1].tokens) == (None, 300 - points[-1].start)
    assert sum(point.tokens for point in points) == 300


@pytest.mark.parametrize("made", [[], [TokenSeries(0, np.zeros(0), np.zeros(0), (), ())]])
def test_nothing_gives_an_empty_table(made: list[TokenSeries]) -> None:
    table = pdm_table(made, without="dropped")
    assert (table.responses, table.tokens, table.curves, table.means) == (0, 0, (), ())
    assert table.fade.reason


@given(st.integers(0, 5), st.integers(0, 1000))
def test_the_table_is_json_and_does_not_depend_on_the_order(n: int, seed: int) -> None:
    made = series(0.01, n, spread=1.0, lengths=(1, 30), seed=seed)
    table = pdm_table(made, without="dropped", survival=10, resamples=10)
    assert json.loads(table.to_json())["schema"] == "eidolon/pdm/1"
    again = pdm_table(made[::-1], without="dropped", survival=10, resamples=10)
    assert again.fade.rate == pytest.approx(table.fade.rate)
    assert [m.value for m in again.means] == pytest.approx([m.value for m in table.means])
