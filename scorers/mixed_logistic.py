"""Logistic regression with a random intercept a cluster, by maximum likelihood.

    logit P(y_ij = 1) = x_ij·β + sigma·z_i,   z_i ~ N(0, 1)

The intercepts are integrated out by Gauss-Hermite quadrature; gradient and Hessian are exact (Louis 1982), so that
the covariance of the estimates is that of the likelihood, not of an approximation to it. The variational and Laplace
approximations that Python's libraries have for this model are biased for short clusters of 0s and 1s (Breslow and Lin
1995), and a response is just that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from eidolon.scorers.metric import FloatArray

NODES = 31
"""Of the quadrature, …"""
WIDE_NODES, WIDE = 121, 1.2
"""… and where clusters differ by more than this standard deviation."""
GRADIENT_TOLERANCE = 1e-4
"""Of the standardised problem, in log-likelihood a unit; a standard error is thousands of times larger."""
RANK_TOLERANCE = 1e-7
MAX_LOG_ODDS = 30.0
"""Beyond this a coefficient of a standardised column runs off to infinity: outcomes are separated."""


@dataclass(frozen=True, slots=True)
class MixedLogisticFit:
    """Estimates by column, with their covariance."""

    names: tuple[str, ...]
    """The columns that could be told apart from those before them; the others are left out."""
    coefficients: FloatArray
    """Log odds ratios, shape (columns,)."""
    covariance: FloatArray
    """Robust (sandwich) over the clusters of inference, shape (columns, columns)."""
    model_covariance: FloatArray
    """Inverse observed information."""
    intercept_sd: float
    """sigma: how far clusters differ, in log odds."""
    log_likelihood: float
    observations: int
    clusters: int

    def __getitem__(self, name: str) -> tuple[float, float]:
        """Return a coefficient and its robust standard error. Raises `KeyError` where it was left out."""
        if name not in self.names:
            raise KeyError(name)
        at = self.names.index(name)
        return float(self.coefficients[at]), float(self.covariance[at, at] ** 0.5)


class NotEstimableError(ValueError):
    """The data do not determine the coefficients; the message says why."""


def fit_mixed_logistic(
    columns: dict[str, FloatArray],
    outcomes: NDArray[np.bool_],
    clusters: NDArray[np.intp],
    *,
    inference_clusters: NDArray[np.intp] | None = None,
    nodes: int | None = None,
) -> MixedLogisticFit:
    """Fit the model by an intercept and the given columns, each of shape (observations,).

    `clusters` says whose intercept an observation has; `inference_clusters` groups what is not independent beyond
    that (all responses to one image), for the robust covariance, and must be constant within a cluster. `nodes` of
    the quadrature are as many as it takes unless given. A column that is a linear combination of those before it is
    left out. Raises `NotEstimableError` where all outcomes are alike, or separated by the columns, or the likelihood
    has no interior maximum.
    """
    y = np.asarray(outcomes, dtype=float)
    if not len(y) or y.min() == y.max():
        raise NotEstimableError("all outcomes are the same" if len(y) else "there are no observations")
    order = np.argsort(clusters, kind="stable")
    names, design, scale, shift = _standardise(columns, order, len(y))
    start = np.zeros(len(names) + 1)
    start[0], start[-1] = np.log(y.mean() / (1 - y.mean())), 0.5
    problem = _Likelihood(design, y[order], np.asarray(clusters)[order], nodes or NODES)
    found = problem.minimise(start)
    if nodes is None and abs(found.x[-1]) > WIDE:
        problem = _Likelihood(design, y[order], np.asarray(clusters)[order], WIDE_NODES)
        found = problem.minimise(found.x)
    scores, hessian = problem.scores(found.x), problem.hessian(found.x)
    if np.abs(found.x[:-1]).max() > MAX_LOG_ODDS or not np.isfinite(found.x).all():
        raise NotEstimableError("the outcomes are separated by the covariates")
    if np.abs(scores.sum(axis=0)).max() > 100 * GRADIENT_TOLERANCE or np.linalg.eigvalsh(hessian)[0] <= 0:
        raise NotEstimableError("the likelihood has no interior maximum")
    model = np.linalg.inv(hessian)
    if inference_clusters is not None:
        scores = _sum_by(scores, np.asarray(inference_clusters)[order][problem.starts])
    many = len(scores) / max(len(scores) - 1, 1)
    robust = model @ (many * scores.T @ scores) @ model
    if not (np.isfinite(robust).all() and (np.diag(model) > 0).all() and (np.diag(robust) >= 0).all()):
        raise NotEstimableError("the likelihood is too flat at its maximum")
    back = _back(scale, shift)
    return MixedLogisticFit(
        names=names,
        coefficients=back @ found.x[:-1],
        covariance=back @ robust[:-1, :-1] @ back.T,
        model_covariance=back @ model[:-1, :-1] @ back.T,
        intercept_sd=abs(float(found.x[-1])),
        log_likelihood=-float(found.fun),
        observations=len(y),
        clusters=len(problem.starts),
    )


class _Likelihood:
    """Minus the log-likelihood of (β, sigma), its gradient and Hessian; observations are sorted by cluster."""

    def __init__(self, design: FloatArray, y: FloatArray, clusters: NDArray[np.intp], nodes: int) -> None:
        z, weights = np.polynomial.hermite_e.hermegauss(nodes)
        self._z, self._log_weights = z, np.log(weights / weights.sum())
        self._x, self._y = design, y
        self.starts = np.flatnonzero(np.r_[True, clusters[1:] != clusters[:-1]])
        self._row = np.repeat(np.arange(len(self.starts)), np.diff(np.r_[self.starts, len(y)]))
        self._at: FloatArray | None = None

    def minimise(self, start: FloatArray) -> Any:
        """Return scipy's result of the search from there."""
        return minimize(
            self.value,
            start,
            jac=self.gradient,
            hess=self.hessian,
            method="trust-exact",
            options={"gtol": GRADIENT_TOLERANCE, "maxiter": 500},
        )

    def value(self, theta: FloatArray) -> float:
        self._evaluate(theta)
        return -float(self._log_likelihood)

    def gradient(self, theta: FloatArray) -> FloatArray:
        return -np.asarray(self.scores(theta).sum(axis=0))

    def scores(self, theta: FloatArray) -> FloatArray:
        """Return the gradient of each cluster's log-likelihood, shape (clusters, columns + 1)."""
        self._evaluate(theta)
        residual = self._y[:, None] - self._p
        expected = (residual * self._posterior[self._row]).sum(axis=1)
        by_column = np.add.reduceat(self._x * expected[:, None], self.starts, axis=0)
        by_node = np.add.reduceat(residual, self.starts, axis=0)
        return np.column_stack([by_column, (by_node * self._posterior) @ self._z])

    def hessian(self, theta: FloatArray) -> FloatArray:
        """Return minus the second derivatives of the log-likelihood.

        By Louis: expected complete-data information, less the posterior variance of the complete-data score.
        """
        self._evaluate(theta)
        columns = self._x.shape[1]
        weight = self._p * (1 - self._p) * self._posterior[self._row]
        information = np.empty((columns + 1, columns + 1))
        information[:-1, :-1] = (self._x * weight.sum(axis=1)[:, None]).T @ self._x
        information[:-1, -1] = information[-1, :-1] = self._x.T @ (weight @ self._z)
        information[-1, -1] = (weight @ self._z**2).sum()
        residual = self._y[:, None] - self._p
        score = np.empty((len(self.starts), len(self._z), columns + 1))
        for column in range(columns):
            score[:, :, column] = np.add.reduceat(residual * self._x[:, [column]], self.starts, axis=0)
        score[:, :, -1] = np.add.reduceat(residual, self.starts, axis=0) * self._z
        mean = np.einsum("ik,ika->ia", self._posterior, score)
        weighted = (score * np.sqrt(self._posterior)[:, :, None]).reshape(-1, columns + 1)
        return np.asarray(information - weighted.T @ weighted + mean.T @ mean)

    def _evaluate(self, theta: FloatArray) -> None:
        if self._at is not None and np.array_equal(theta, self._at):
            return
        eta = (self._x @ theta[:-1])[:, None] + theta[-1] * self._z
        joint = np.add.reduceat(log_expit(np.where(self._y[:, None] > 0, eta, -eta)), self.starts, axis=0)
        joint += self._log_weights
        top = joint.max(axis=1, keepdims=True)
        weights = np.exp(joint - top)
        total = weights.sum(axis=1, keepdims=True)
        self._log_likelihood = (np.log(total) + top).sum()
        self._posterior, self._p, self._at = weights / total, expit(eta), theta.copy()


def _standardise(
    columns: dict[str, FloatArray], order: NDArray[np.intp], n: int
) -> tuple[tuple[str, ...], FloatArray, FloatArray, FloatArray]:
    """Return the names kept, the design (n, columns) with the intercept first, and its scale and shift."""
    names, kept, scale, shift = ["intercept"], [np.ones(n)], [1.0], [0.0]
    for name, column in columns.items():
        if len(kept) >= n:
            break
        values = np.asarray(column, dtype=float)[order]
        spread = float(values.std())
        if spread <= RANK_TOLERANCE * max(1.0, float(np.abs(values).max())):
            continue
        standard = (values - values.mean()) / spread
        triangle = qr(np.column_stack([*kept, standard]), mode="r")[0]
        if abs(triangle[len(kept), len(kept)]) <= RANK_TOLERANCE * np.sqrt(n):
            continue
        names.append(name)
        kept.append(standard)
        scale.append(spread)
        shift.append(float(values.mean()))
    return tuple(names), np.column_stack(kept), np.array(scale), np.array(shift)


def _back(scale: FloatArray, shift: FloatArray) -> FloatArray:
    """Return the matrix from coefficients of standardised columns to those of the columns as given."""
    back = np.diag(1 / scale)
    back[0] = -shift / scale
    back[0, 0] = 1.0
    return back


def _sum_by(rows: FloatArray, groups: NDArray[np.intp] | Sequence[int]) -> FloatArray:
    _, at = np.unique(groups, return_inverse=True)
    sums = np.zeros((at.max() + 1, rows.shape[1]))
    np.add.at(sums, at, rows)
    return sums
