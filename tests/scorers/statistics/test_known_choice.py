"""The choice model with known utilities: against a likelihood written out, and on data with a known law."""

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from eidolon.scorers.statistics.choice_model import ChoiceSets, fit_choice
from eidolon.scorers.statistics.known_choice import ABSENT, KnownChoices, _Likelihood, fit_choices
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError


def draw(
    images: int, seed: int, *, position: float = 0.0, noise: float = 0.0, hidden: int = 0
) -> KnownChoices:
    """Return choices among 4 true items and 10 absent ones, and more that are not measured."""
    rng = np.random.default_rng(seed)
    steps, items = 5, 10
    is_true = np.tile(np.arange(items) < 4, (images, 1))
    utility = np.where(is_true, 3.0, 0.0) + 1.5 * rng.standard_normal((images, items))
    more = 1.5 * rng.standard_normal((images, hidden))
    left = np.zeros((images, steps, items), dtype=bool)
    chosen, wrong = np.full((images, steps), -1), np.zeros((images, steps), dtype=bool)
    there, unmeasured, at = wrong.copy(), np.zeros((images, steps)), np.zeros((images, steps))
    for i in range(images):
        open_, others = np.ones(items + hidden, dtype=bool), hidden
        for m in range(steps):
            if not open_[:4].any():
                break
            at[i, m] = (m + rng.random()) / steps
            everything = np.concatenate([utility[i], more[i]])
            weights = np.exp(everything + position * at[i, m] * (np.arange(items + hidden) >= 4)) * open_
            k = int(rng.choice(items + hidden, p=weights / weights.sum()))
            left[i, m], there[i, m], wrong[i, m] = open_[:items], True, k >= 4
            chosen[i, m] = k if k < items else -1
            unmeasured[i, m] = others
            open_[k] = False
            others -= k >= items
    measured = utility + noise * rng.standard_normal(utility.shape)
    return KnownChoices(measured, is_true, ~is_true, left, chosen, wrong, unmeasured, {"position": at}, there)


def written_out(
    choices: KnownChoices, theta: list[float], utilities: np.ndarray, normal: np.ndarray
) -> float:
    """Return the log-likelihood by loops. `normal` are the draws of the two random coefficients."""
    gamma, absent, slope, absent_sd, slope_sd = theta
    total = 0.0
    one = np.exp(gamma * utilities[choices.is_absent]).mean()
    for i in range(len(choices.measured)):
        likelihoods = []
        for r in range(utilities.shape[-1]):
            value = 1.0
            for m in np.flatnonzero(choices.there[i]):
                x = choices.columns["position"][i, m]
                shift = absent + slope * x + absent_sd * normal[i, 0, r] + slope_sd * x * normal[i, 1, r]
                u = {k: exp(gamma * utilities[i, k, r]) for k in np.flatnonzero(choices.left[i, m])}
                true = sum(v for k, v in u.items() if choices.is_true[i, k])
                false = sum(v for k, v in u.items() if choices.is_absent[i, k])
                hidden = choices.unmeasured[i, m] * one
                k = choices.chosen[i, m]
                picked = hidden if k < 0 else u[k]
                everything = true + (false + hidden) * exp(shift)
                misread = 0.0 if choices.misread is None else choices.misread[i, m]
                if choices.wrong[i, m]:
                    absent_left = [n for n in u if choices.is_absent[i, n]]
                    many = len(absent_left) + choices.unmeasured[i, m]
                    alike = (choices.unmeasured[i, m] if k < 0 else 1) / many
                    value *= picked * exp(shift) / everything + misread * alike
                else:
                    value *= (1 - misread) * picked / everything
            likelihoods.append(value)
        total += log(sum(likelihoods) / len(likelihoods))
    return total


@pytest.mark.parametrize(("noise", "misread"), [(0.0, 0.0), (0.3, 0.0), (0.3, 0.4)])
def test_the_likelihood_is_that_of_its_definition(noise: float, misread: float) -> None:
    choices = draw(6, 1, position=1.0, noise=noise**0.5, hidden=4)
    if misread:
        choices = replace(choices, misread=misread * choices.columns["position"])
    model = _Likelihood(choices, noise, (ABSENT, "position"), 3, 8)
    half = np.random.default_rng(3).standard_normal((6, 2 + (10 if noise else 0), 4))
    normal = np.concatenate([half, -half], axis=-1)
    utilities = np.broadcast_to(model.utility, (6, 10, 8))
    theta = [0.8, -0.3, 0.9, 0.5, 0.7]
    value, scores = model.scores(np.array(theta))
    assert value == pytest.approx(written_out(choices, theta, utilities, normal), abs=1e-9)
    for at in range(5):
        ahead, behind = (model.scores(np.array(theta) + step * np.eye(5)[at])[0] for step in (1e-6, -1e-6))
        assert scores[:, at].sum() == pytest.approx((ahead - behind) / 2e-6, abs=1e-4)


def enumerated(choices: KnownChoices, theta: list[float], i: int) -> float:
    """Return the likelihood of an image over all courses of what was read in place of something else, by recursion."""
    gamma, absent, slope = theta
    assert choices.misread is not None
    misread, items = choices.misread, range(choices.measured.shape[1])
    one = np.exp(gamma * choices.measured[choices.is_absent]).mean()
    steps = np.flatnonzero(choices.there[i]).tolist()

    def after(at: int, lost: frozenset[int]) -> float:
        if at == len(steps):
            return 1.0
        m = steps[at]
        u = {k: exp(gamma * choices.measured[i, k]) for k in items if choices.left[i, m, k] and k not in lost}
        true = sum(v for k, v in u.items() if choices.is_true[i, k])
        hidden = choices.unmeasured[i, m]
        tilt = exp(absent + slope * choices.columns["position"][i, m])
        false = sum(v for k, v in u.items() if choices.is_absent[i, k]) + hidden * one
        everything, k = true + false * tilt, int(choices.chosen[i, m])
        if not choices.wrong[i, m]:
            return 0.0 if k in lost else (1 - misread[i, m]) * u[k] / everything * after(at + 1, lost)
        alike = (hidden if k < 0 else 1) / (sum(choices.is_absent[i, n] for n in u) + hidden)
        this = misread[i, m] * alike
        picked = (hidden * one if k < 0 else u[k]) * tilt / everything
        value = (picked + (1 - choices.in_place) * this) * after(at + 1, lost)
        for n, weight in u.items():
            if choices.is_true[i, n]:
                value += choices.in_place * this * weight / everything * after(at + 1, lost | {n})
        return value

    return after(0, frozenset())


@pytest.mark.parametrize("in_place", [0.6, 1.0])
def test_what_was_lost_is_integrated_out(in_place: float) -> None:
    choices = draw(8, 1, position=1.0, hidden=4)
    choices = replace(choices, misread=0.4 * choices.columns["position"], in_place=in_place)
    theta = [0.8, -0.3, 0.9]
    model = _Likelihood(choices, 0.0, (), 3, 6000)
    model.draw_lost(np.array([0.7, 0.0, 0.5]), 0)
    exact = sum(log(enumerated(choices, theta, i)) for i in range(8))
    value, _ = model.scores(np.array(theta))
    assert value == pytest.approx(exact, abs=0.02)
    ignored = _Likelihood(replace(choices, in_place=0.0), 0.0, (), 3, 2).scores(np.array(theta))[0]
    assert abs(ignored - exact) > 0.05


def test_the_gradient_with_what_was_lost_is_that_of_the_likelihood() -> None:
    choices = draw(8, 1, position=1.0, noise=0.5, hidden=4)
    choices = replace(choices, misread=0.4 * choices.columns["position"], in_place=0.8)
    model = _Likelihood(choices, 0.25, (ABSENT, "position"), 3, 8)
    theta = np.array([0.8, -0.3, 0.9, 0.5, 0.7])
    model.draw_lost(theta, 0)
    assert model.lost is not None
    assert model.lost.there.any()
    _, scores = model.scores(theta)
    for at in range(5):
        ahead, behind = (model.scores(theta + step * np.eye(5)[at])[0] for step in (1e-6, -1e-6))
        assert scores[:, at].sum() == pytest.approx((ahead - behind) / 2e-6, abs=1e-4)


def test_the_coefficients_are_recovered() -> None:
    fit = fit_choices(draw(400, 2, position=2.0), 0.0, random=(ABSENT, "position"))
    for name, truth in (("utility", 1.0), ("position", 2.0), (ABSENT, 0.0)):
        estimate, error = fit[name]
        assert abs(estimate - truth) < 2.5 * error
        assert error < 0.6


def test_noise_is_corrected() -> None:
    choices = draw(500, 3, noise=1.0)
    ignored, corrected = fit_choices(choices, 0.0)["utility"][0], fit_choices(choices, 1.0)["utility"][0]
    assert ignored < 0.8
    assert 0.82 < corrected < 1.15


def test_choices_without_position_are_not_estimable() -> None:
    choices = draw(30, 4)
    choices.columns["position"][:] = 0  # type: ignore[index]
    fit = fit_choices(choices, 0.0)
    assert "position" not in fit.names
    choices.left[:] = choices.there[:] = False
    with pytest.raises(NotEstimableError):
        fit_choices(choices, 0.0)


def test_without_noise_and_spread_it_is_the_conditional_logit() -> None:
    choices = draw(150, 5, position=1.0)
    rows = [(i, m, k) for i, m, k in np.argwhere(choices.left) if choices.there[i, m]]
    image, step, item = np.array(rows).T
    absent = choices.is_absent[image, item].astype(float)
    plain = fit_choice(
        ChoiceSets(
            columns={
                "utility": choices.measured[image, item],
                ABSENT: absent,
                "position": absent * choices.columns["position"][image, step],
            },
            chosen=choices.chosen[image, step] == item,
            sets=image * 100 + step,
            clusters=image,
        )
    )
    fit = fit_choices(choices, 0.0)
    for name in ("utility", ABSENT, "position"):
        assert fit[name][0] == pytest.approx(plain[name][0], abs=2e-3)
        assert fit[name][1] == pytest.approx(plain[name][1], rel=0.15)
