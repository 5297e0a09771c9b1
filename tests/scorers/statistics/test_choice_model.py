"""The conditional logit: against plain loops, against statsmodels, and on choices with known utilities."""

from dataclasses import replace

import numpy as np
import pytest

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.statistics.choice_model import ChoiceSets, bootstrap_choice, fit_choice
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError


def draw(
    beta: tuple[float, float], *, sets: int, seed: int, offset: bool = False, per_cluster: int = 3
) -> ChoiceSets:
    """Return choices among two to six alternatives by the model itself, in shuffled order."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(sets), rng.integers(2, 7, sets))
    x, z = rng.normal(size=len(of)), rng.random(len(of)) < 0.4
    known = rng.normal(size=len(of)) if offset else np.zeros(len(of))
    utility = beta[0] * x + beta[1] * z + known + rng.gumbel(size=len(of))
    chosen = np.zeros(len(of), dtype=bool)
    for one in range(sets):
        rows = np.flatnonzero(of == one)
        chosen[rows[np.argmax(utility[rows])]] = True
    mixed = rng.permutation(len(of))
    columns = {"x": x[mixed], "z": z[mixed].astype(float)}
    return ChoiceSets(
        columns, chosen[mixed], of[mixed], of[mixed] // per_cluster, known[mixed] if offset else None
    )


def plain_log_likelihood(data: ChoiceSets, beta: FloatArray) -> float:
    total = 0.0
    for one in sorted(set(data.sets.tolist())):
        utilities, mine = [], np.nan
        for row in range(len(data.sets)):
            if data.sets[row] == one:
                offset = 0.0 if data.offset is None else data.offset[row]
                utility = sum(b * column[row] for b, column in zip(beta, data.columns.values(), strict=True))
                utilities.append(utility + offset)
                mine = utilities[-1] if data.chosen[row] else mine
        total += mine - np.log(np.exp(utilities).sum())
    return float(total)


@pytest.mark.parametrize("offset", [False, True])
def test_it_is_the_maximum_of_the_plain_likelihood(offset: bool) -> None:
    data = draw((0.8, -1.0), sets=60, seed=1, offset=offset)
    found = fit_choice(data)
    top = plain_log_likelihood(data, found.coefficients)
    assert found.log_likelihood == pytest.approx(top, abs=1e-9)
    step = 1e-3
    for at in range(2):
        unit = step * np.eye(2)[at]
        below, above = (plain_log_likelihood(data, found.coefficients + sign * unit) for sign in (-1, 1))
        assert below < top > above
        curvature = (2 * top - below - above) / step**2
        assert curvature == pytest.approx(np.linalg.inv(found.model_covariance)[at, at], rel=1e-4)


def test_it_is_the_conditional_logit_of_statsmodels() -> None:
    from statsmodels.discrete.conditional_models import ConditionalLogit

    data = draw((0.8, -1.0), sets=150, seed=2)
    oracle = ConditionalLogit(
        data.chosen.astype(float), np.column_stack(list(data.columns.values())), groups=data.sets
    ).fit(disp=0)
    found = fit_choice(data)
    np.testing.assert_allclose(found.coefficients, oracle.params, rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(found.model_covariance)), oracle.bse, rtol=1e-3)


def test_the_robust_covariance_is_that_of_plain_sums() -> None:
    data = draw((0.5, 0.7), sets=40, seed=3)
    found = fit_choice(data)
    columns = np.column_stack(list(data.columns.values()))
    sums: dict[int, FloatArray] = {}
    for one in range(40):
        rows = np.flatnonzero(data.sets == one)
        share = np.exp(columns[rows] @ found.coefficients)
        score = columns[rows][data.chosen[rows]][0] - share @ columns[rows] / share.sum()
        cluster = int(data.clusters[rows[0]])
        sums[cluster] = sums.get(cluster, np.zeros(2)) + score
    middle = sum(np.outer(score, score) for score in sums.values()) * len(sums) / (len(sums) - 1)
    wanted = found.model_covariance @ middle @ found.model_covariance
    np.testing.assert_allclose(found.covariance, wanted, rtol=1e-6)
    assert found.clusters == len(sums)


def test_intervals_cover_and_agree_with_the_bootstrap() -> None:
    covered, errors = 0, []
    for seed in range(60):
        found = fit_choice(draw((0.8, -1.0), sets=120, seed=seed, offset=True))
        low, high = found.interval("z")
        covered += low <= -1.0 <= high
        errors.append(found["z"][0] + 1.0)
    assert covered >= 51, "less than 0.90 would be chance once in twenty thousand"
    assert abs(np.mean(errors)) < 4 * np.std(errors) / 60**0.5
    data = draw((0.8, -1.0), sets=300, seed=1)
    drawn = bootstrap_choice(data, resamples=200, seed=0)
    assert drawn.std(axis=0, ddof=1) == pytest.approx(np.sqrt(np.diag(fit_choice(data).covariance)), rel=0.2)
    np.testing.assert_array_equal(drawn, bootstrap_choice(data, resamples=200, seed=0))


def test_an_offset_is_a_column_with_the_coefficient_one() -> None:
    data = draw((0.8, -1.0), sets=200, seed=4, offset=True)
    assert data.offset is not None
    shifted = replace(data, offset=data.offset + data.columns["x"])
    assert fit_choice(shifted)["x"][0] == pytest.approx(fit_choice(data)["x"][0] - 1)
    free = fit_choice(replace(data, columns={**data.columns, "known": data.offset}, offset=None))
    assert free["known"][0] == pytest.approx(1, abs=0.4)


def test_weights_count_sets_and_what_sets_share_cancels() -> None:
    data = draw((0.8, -1.0), sets=50, seed=5)
    twice = ChoiceSets(
        {name: np.tile(column, 2) for name, column in data.columns.items()},
        np.tile(data.chosen, 2),
        np.r_[data.sets, data.sets + 50],
        np.tile(data.clusters, 2),
    )
    weighted, doubled = fit_choice(data, weights=np.full(len(data.sets), 2.0)), fit_choice(twice)
    np.testing.assert_allclose(weighted.coefficients, doubled.coefficients)
    np.testing.assert_allclose(weighted.model_covariance, doubled.model_covariance)
    shared = np.random.default_rng(0).normal(size=50)[data.sets]
    columns = {
        "shared": shared,
        "x": data.columns["x"] + shared,
        "again": 2 * data.columns["x"],
        "z": data.columns["z"],
    }
    again = fit_choice(replace(data, columns=columns))
    assert again.names == ("x", "z")
    np.testing.assert_allclose(again.coefficients, fit_choice(data).coefficients)


def test_what_cannot_be_estimated_is_refused() -> None:
    data = draw((0.8, -1.0), sets=30, seed=6)
    with pytest.raises(NotEstimableError, match="separated"):
        fit_choice(replace(data, columns={"chosen": data.chosen.astype(float)}))
    with pytest.raises(NotEstimableError, match="more than one alternative"):
        fit_choice(replace(data, sets=np.arange(len(data.sets)), chosen=np.ones(len(data.sets), bool)))
    with pytest.raises(NotEstimableError, match="two clusters"):
        fit_choice(replace(data, clusters=np.zeros(len(data.sets), int)))
    with pytest.raises(ValueError, match="one chosen"):
        fit_choice(replace(data, chosen=np.zeros(len(data.sets), bool)))
    with pytest.raises(ValueError, match="several clusters"):
        fit_choice(replace(data, clusters=np.arange(len(data.sets))))
    with pytest.raises(ValueError, match="'x' is not finite"):
        fit_choice(replace(data, columns={"x": np.full(len(data.sets), np.nan)}))
