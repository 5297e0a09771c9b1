"""Logistic regression with up to two random effects for each cluster, whose loadings are free.

    logit P(y_ij = 1) = x_ij·β + Σ_k l_k · z_ijk · u_i,d(k),   u_i ~ N(0, I)

Each loading l_k belongs to a column z_k and to one of the independent standard normal effects u. A random intercept
and slope has three: l_1·u_1 + l_2·t·u_1 + l_3·t·u_2, so that the covariance is L·Lᵀ with the Cholesky factor L. Two
outcomes that share one effect, such as errors and stopping, have a loading each: an indicator column a loading.

The effects are integrated out by Gauss-Hermite quadrature on a grid. Gradient and Hessian are exact (Louis 1982).
`mixed_logistic.py` has the case of one intercept, with mixtures and wide spreads. This module is for short clusters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.statistics.coefficients import NamedCoefficients
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

NODES = 11
"""Nodes of the quadrature in each dimension."""
GRADIENT_TOLERANCE = 1e-4
RANK_TOLERANCE = 1e-7
MAX_LOG_ODDS = 30.0
START = 0.5
"""Loadings at the start of the search. At 0 their gradient is 0."""


@dataclass(frozen=True, slots=True)
class Loading:
    """A column whose coefficient varies between clusters."""

    name: str
    column: FloatArray
    """Shape (observations,)."""
    effect: int
    """The effect that it loads on: 0 or 1."""


@dataclass(frozen=True, slots=True)
class RandomEffectsFit(NamedCoefficients):
    """Estimates of the intercept, the columns and the loadings, in this order."""

    log_likelihood: float
    observations: int
    clusters: int


def fit_random_effects(
    columns: Mapping[str, FloatArray],
    loadings: tuple[Loading, ...],
    outcomes: BoolArray,
    clusters: IntArray,
    *,
    inference_clusters: IntArray | None = None,
    nodes: int = NODES,
) -> RandomEffectsFit:
    """Return the fit of an intercept, the columns, each of shape (observations,), and the loadings.

    `inference_clusters` groups clusters that depend on each other, for the robust covariance. The signs of an
    effect's loadings are free together: its first loading is positive.

    Raises:
        NotEstimableError: all outcomes are the same, the columns separate the outcomes, or the likelihood has no
            interior maximum.
    """
    y = np.asarray(outcomes, dtype=float)
    if not len(y) or y.min() == y.max():
        raise NotEstimableError("all outcomes are the same" if len(y) else "there are no observations")
    order = np.argsort(clusters, kind="stable")
    names, design, scale, shift = _standardise(columns, order)
    starts = np.flatnonzero(np.diff(np.asarray(clusters)[order], prepend=-1))
    problem = _Likelihood(design, y[order], starts, loadings, order, nodes)
    theta = np.zeros(problem.size)
    theta[0] = np.log(y.mean() / (1 - y.mean()))
    theta[len(names) :] = START
    theta = _maximise(problem, theta)
    scores, hessian = problem.derivatives(theta)
    if np.linalg.eigvalsh(hessian)[0] <= 0:
        raise NotEstimableError("the likelihood has no interior maximum")
    model = np.linalg.inv(hessian)
    if np.diag(model).max() > MAX_LOG_ODDS**2:
        raise NotEstimableError("the outcomes are separated by the covariates")
    if inference_clusters is not None:
        groups = np.unique(np.asarray(inference_clusters)[order][starts], return_inverse=True)[1]
        sums = np.zeros((groups.max() + 1, problem.size))
        np.add.at(sums, groups, scores)
        scores = sums
    robust = model @ (len(scores) / max(len(scores) - 1, 1) * scores.T @ scores) @ model
    back = np.eye(problem.size)
    back[: len(names), : len(names)] = np.diag(1 / scale)
    back[0, : len(names)] = np.r_[1.0, -shift[1:] / scale[1:]]
    for effect in {loading.effect for loading in loadings}:
        of = [len(names) + k for k, loading in enumerate(loadings) if loading.effect == effect]
        if theta[of[0]] < 0:
            back[of, of] = -1.0
    return RandomEffectsFit(
        names=(*names, *(loading.name for loading in loadings)),
        coefficients=back @ theta,
        covariance=back @ robust @ back.T,
        model_covariance=back @ model @ back.T,
        log_likelihood=-problem.value(theta),
        observations=len(y),
        clusters=len(starts),
    )


def _maximise(problem: "_Likelihood", start: FloatArray) -> FloatArray:
    from scipy.optimize import minimize

    found = minimize(
        problem.value,
        start,
        jac=problem.gradient,
        hess=problem.hessian,
        method="trust-exact",
        options={"gtol": GRADIENT_TOLERANCE * len(problem.starts) ** 0.5, "maxiter": 200},
    )
    theta = np.asarray(found.x)
    if not np.isfinite(theta).all() or np.abs(theta).max() > MAX_LOG_ODDS:
        raise NotEstimableError("the outcomes are separated by the covariates")
    return theta


class _Likelihood:
    """Minus the log-likelihood with its derivatives. theta is β, then the loadings."""

    def __init__(
        self,
        x: FloatArray,
        y: FloatArray,
        starts: IntArray,
        loadings: tuple[Loading, ...],
        order: IntArray,
        nodes: int,
    ) -> None:
        points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        log_weights = np.log(weights / weights.sum())
        if any(loading.effect for loading in loadings):
            self._points = np.stack([np.repeat(points, nodes), np.tile(points, nodes)])
            self._log_weights = np.repeat(log_weights, nodes) + np.tile(log_weights, nodes)
        else:
            self._points, self._log_weights = points[None], log_weights
        self._x, self._y, self.starts = x, y, starts
        self._row = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(y)]))
        self._z = [np.asarray(loading.column, dtype=float)[order] for loading in loadings]
        self._effect = [loading.effect for loading in loadings]
        self.size = x.shape[1] + len(loadings)
        self._at: FloatArray | None = None
        self._derivatives: tuple[FloatArray, FloatArray] | None = None

    def value(self, theta: FloatArray) -> float:
        self._evaluate(theta)
        return -self._log_likelihood

    def gradient(self, theta: FloatArray) -> FloatArray:
        return -np.asarray(self._both(theta)[0].sum(axis=0))

    def hessian(self, theta: FloatArray) -> FloatArray:
        return self._both(theta)[1]

    def derivatives(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the scores of the clusters (clusters, size), and minus the second derivatives (size, size)."""
        return self._both(theta)

    def _both(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        self._evaluate(theta)
        if self._derivatives is None:
            self._derivatives = self._derive()
        return self._derivatives

    def _derive(self) -> tuple[FloatArray, FloatArray]:
        fixed, size = self._x.shape[1], self.size
        posterior = self._posterior[self._row]
        residual = self._y[:, None] - self._p
        weight = self._p * (1 - self._p) * posterior
        information = np.zeros((size, size))
        information[:fixed, :fixed] = (self._x * weight.sum(axis=1)[:, None]).T @ self._x
        score = np.empty((size, len(self.starts), len(self._log_weights)))
        for column in range(fixed):
            score[column] = np.add.reduceat(residual * self._x[:, [column]], self.starts, axis=0)
        for k, (z, effect) in enumerate(zip(self._z, self._effect, strict=True)):
            u = self._points[effect]
            score[fixed + k] = np.add.reduceat(residual * z[:, None], self.starts, axis=0) * u
            information[:fixed, fixed + k] = self._x.T @ (z * (weight @ u))
            information[fixed + k, :fixed] = information[:fixed, fixed + k]
            for other in range(k + 1):
                both = z * self._z[other] @ (weight @ (u * self._points[self._effect[other]]))
                information[fixed + k, fixed + other] = information[fixed + other, fixed + k] = both
        mean = np.einsum("ik,aik->ia", self._posterior, score)
        weighted = (score * np.sqrt(self._posterior)).reshape(size, -1)
        return mean, np.asarray(information - weighted @ weighted.T + mean.T @ mean)

    def _evaluate(self, theta: FloatArray) -> None:
        from scipy.special import expit, log_expit

        if self._at is not None and np.array_equal(theta, self._at):
            return
        fixed = self._x.shape[1]
        eta = np.repeat((self._x @ theta[:fixed])[:, None], len(self._log_weights), axis=1)
        for loading, z, effect in zip(theta[fixed:], self._z, self._effect, strict=True):
            eta += loading * z[:, None] * self._points[effect]
        joint = np.add.reduceat(log_expit(np.where(self._y[:, None] > 0, eta, -eta)), self.starts, axis=0)
        joint += self._log_weights
        top = joint.max(axis=1, keepdims=True)
        weights = np.exp(joint - top)
        total = weights.sum(axis=1, keepdims=True)
        self._log_likelihood = float((np.log(total) + top).sum())
        self._posterior, self._p, self._at = weights / total, expit(eta), theta.copy()
        self._derivatives = None


def _standardise(
    columns: Mapping[str, FloatArray], order: IntArray
) -> tuple[tuple[str, ...], FloatArray, FloatArray, FloatArray]:
    """Return the names of the columns in the fit, the design with the intercept first, its scale and its shift."""
    n = len(order)
    names, kept, scale, shift = ["intercept"], [np.ones(n)], [1.0], [0.0]
    basis = [np.ones(n) / n**0.5]
    for name, column in columns.items():
        values = np.asarray(column, dtype=float)[order]
        spread = float(values.std())
        if spread <= RANK_TOLERANCE * max(1.0, float(np.abs(values).max())):
            continue
        standard = (values - values.mean()) / spread
        rest = standard
        for _ in range(2):  # twice, because one pass of Gram-Schmidt loses digits
            for unit in basis:
                rest = rest - unit * (unit @ rest)
        length = float(np.linalg.norm(rest))
        if length <= RANK_TOLERANCE * n**0.5:
            continue
        names.append(name)
        kept.append(standard)
        basis.append(rest / length)
        scale.append(spread)
        shift.append(float(values.mean()))
    return tuple(names), np.column_stack(kept), np.array(scale), np.array(shift)
