"""The likelihood of a logistic regression with random intercepts, its exact gradient and Hessian, and its maximum.

`mixed_logistic` documents the model. The intercepts are integrated out by Gauss-Hermite quadrature.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray

GRADIENT_TOLERANCE = 1e-4
"""Tolerance of the search, in log-likelihood per unit of the standardised problem. Standard errors are thousands of
times larger."""
POLISH = 2
"""Newton steps after the search. They remove what its tolerance leaves, about 1e-5 of an estimate."""
LONGEST_PRODUCT = 1000
"""Factors between 1 and 2 whose product cannot overflow."""


@dataclass(frozen=True, slots=True)
class TwoKinds:
    """Clusters of a lower and an upper kind."""

    distance: float
    """Distance between their intercepts, in log odds. Positive."""
    upper: float
    """Share of clusters of the upper kind."""


@dataclass(frozen=True, slots=True)
class ClusteredOutcomes:
    """Observations, sorted by cluster."""

    x: FloatArray
    """The design, shape (observations, columns). The first column is the intercept's."""
    sign: FloatArray
    """1 for a positive outcome, -1 for a negative one."""
    starts: NDArray[np.intp]
    """Index of the first observation of each cluster."""
    row: NDArray[np.intp]
    """The cluster of each observation."""
    sums: Any
    """Sparse matrix (clusters, observations) that sums over each cluster."""
    column_sums: Any
    """Sparse matrix (columns·clusters, observations) that sums over each cluster, weighted by each column."""
    longest: int
    """Size of the largest cluster."""

    @classmethod
    def of(cls, x: FloatArray, y: FloatArray, clusters: NDArray[np.intp]) -> "ClusteredOutcomes":
        from scipy.sparse import csr_array

        starts = np.flatnonzero(np.r_[True, clusters[1:] != clusters[:-1]])
        sizes = np.diff(np.r_[starts, len(y)])
        n, columns = x.shape
        ends = (np.r_[0, np.cumsum(sizes)][None, :-1] + n * np.arange(columns)[:, None]).ravel()
        column_sums = csr_array(
            (x.T.ravel(), np.tile(np.arange(n), columns), np.r_[ends, n * columns]),
            shape=(columns * len(starts), n),
        )
        return cls(
            x,
            np.where(y > 0, 1.0, -1.0),
            starts,
            np.repeat(np.arange(len(starts)), sizes),
            csr_array((np.ones(n), np.arange(n), np.r_[starts, n]), shape=(len(starts), n)),
            column_sums,
            int(sizes.max()),
        )

    @property
    def clusters(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class Maximum:
    """The end point of a search."""

    theta: FloatArray
    log_likelihood: float
    scores: FloatArray
    hessian: FloatArray
    kinds: TwoKinds | None

    @property
    def is_interior(self) -> bool:
        flat = np.abs(self.scores.sum(axis=0)).max() <= 100 * GRADIENT_TOLERANCE
        return bool(flat and np.linalg.eigvalsh(self.hessian)[0] > 0)

    def information(self, clusters: int) -> float:
        """Return Schwarz's criterion, smaller is better. The clusters are the independent observations."""
        return float(len(self.theta) * np.log(clusters) - 2 * self.log_likelihood)


class MixedLikelihood:
    """Minus the log-likelihood, its gradient and its Hessian.

    theta is β, sigma and, with two kinds, their distance and alpha. `shares` are the v of the clusters, shape
    (clusters, len(alpha)). A node of the quadrature is a value of z, or of z and k. `_features` are the factors of
    sigma and the distance at each node.
    """

    def __init__(self, data: ClusteredOutcomes, nodes: int, shares: FloatArray | None = None) -> None:
        z, weights = np.polynomial.hermite_e.hermegauss(nodes)
        log_weights = np.log(weights / weights.sum())
        if shares is None:
            self._features, self._log_weights = z[:, None], log_weights
        else:
            upper = np.repeat([0.0, 1.0], nodes)
            self._features, self._log_weights = (
                np.column_stack([np.tile(z, 2), upper]),
                np.tile(log_weights, 2),
            )
        self._data, self._shares = data, shares
        self.sigma = data.x.shape[1]
        self._alpha = self.sigma + self._features.shape[1]
        self._at: FloatArray | None = None

    def minimise(self, start: FloatArray) -> Any:
        """Return scipy's result of the search from `start`."""
        from scipy.optimize import minimize

        return minimize(
            self.value,
            start,
            jac=self.gradient,
            hess=self.hessian,
            method="trust-exact",
            options={"gtol": GRADIENT_TOLERANCE, "maxiter": 500},
        )

    def polish(self, theta: FloatArray) -> FloatArray:
        """Return the end of a search after Newton's steps, which leave no error of the search's tolerance."""
        for _ in range(POLISH):
            gradient = self.gradient(theta)
            try:
                closer = theta - np.linalg.solve(self.hessian(theta), gradient)
            except np.linalg.LinAlgError:
                break  # flat: the caller finds that this is no maximum
            if not np.abs(self.gradient(closer)).max() < np.abs(gradient).max():
                break
            theta = closer
        return theta

    def maximum(self, theta: FloatArray) -> Maximum:
        """Return what is known at the end of a search."""
        scores, hessian = self.scores(theta), self.hessian(theta)
        return Maximum(theta, float(self._log_likelihood), scores, hessian, self.kinds(theta))

    def value(self, theta: FloatArray) -> float:
        self._evaluate(theta)
        return -float(self._log_likelihood)

    def gradient(self, theta: FloatArray) -> FloatArray:
        return -np.asarray(self.scores(theta).sum(axis=0))

    def kinds(self, theta: FloatArray) -> TwoKinds | None:
        """Return the two kinds. The upper one is that with the larger intercept."""
        from scipy.special import expit

        if self._shares is None:
            return None
        distance = float(theta[self.sigma + 1])
        share = float(expit(self._shares @ theta[self._alpha :]).mean())
        return TwoKinds(abs(distance), share if distance > 0 else 1 - share)

    def scores(self, theta: FloatArray) -> FloatArray:
        """Return the gradient of each cluster's log-likelihood, shape (clusters, len(theta))."""
        self._evaluate(theta)
        data = self._data
        expected = np.einsum("nk,nk->n", self._residual, self._weight)
        by_column = (data.column_sums @ expected).reshape(-1, data.clusters).T
        by_node = (data.sums @ self._residual) * self._posterior
        parts = [by_column, by_node @ self._features]
        if self._shares is not None:
            parts.append(self._shares * (self._posterior @ self._features[:, 1] - self._upper)[:, None])
        return np.column_stack(parts)

    def hessian(self, theta: FloatArray) -> FloatArray:
        """Return minus the second derivatives of the log-likelihood, shape (len(theta), len(theta)).

        By Louis (1982): the expected complete-data information minus the posterior variance of the complete-data
        score.
        """
        self._evaluate(theta)
        data, features = self._data, self._features
        many, fixed, varied = len(theta), slice(self.sigma), slice(self.sigma, self._alpha)
        absolute = np.abs(self._residual)
        weight = absolute * (1 - absolute) * self._weight
        information = np.zeros((many, many))
        information[fixed, fixed] = (data.x * weight.sum(axis=1)[:, None]).T @ data.x
        information[fixed, varied] = data.x.T @ (weight @ features)
        information[varied, fixed] = information[fixed, varied].T
        information[varied, varied] = features.T @ (weight.sum(axis=0)[:, None] * features)
        score = np.empty((many, data.clusters, len(self._log_weights)))
        score[fixed] = (data.column_sums @ self._residual).reshape(self.sigma, data.clusters, -1)
        score[varied] = score[0] * features.T[:, None]
        if self._shares is not None:
            alpha = slice(self._alpha, many)
            spread = self._upper * (1 - self._upper)
            information[alpha, alpha] = (self._shares * spread[:, None]).T @ self._shares
            score[alpha] = self._shares.T[:, :, None] * (features[:, 1] - self._upper[:, None])
        mean = np.einsum("ik,aik->ai", self._posterior, score)
        score *= np.sqrt(self._posterior)
        flat = score.reshape(many, -1)
        return np.asarray(information - flat @ flat.T + mean @ mean.T)

    def _evaluate(self, theta: FloatArray) -> None:
        """Compute, at each observation and node, the probability of the opposite outcome, and the posterior of the
        nodes in each cluster."""
        from scipy.special import expit, log_expit

        if self._at is not None and np.array_equal(theta, self._at):
            return
        data = self._data
        odds = (data.x @ theta[: self.sigma])[:, None] + self._features @ theta[self.sigma : self._alpha]
        odds *= data.sign[:, None]
        small = np.exp(-np.abs(odds))
        joint = data.sums @ np.minimum(odds, 0)
        # log Π (1 + small) in place of Σ log(1 + small): one logarithm for each cluster and node.
        one_more = 1 + small
        if data.longest <= LONGEST_PRODUCT:
            joint -= np.log(np.multiply.reduceat(one_more, data.starts, axis=0))
        else:
            joint -= data.sums @ np.log(one_more)
        joint += self._log_weights
        if self._shares is not None:
            kind = (self._shares @ theta[self._alpha :])[:, None]
            joint += np.where(self._features[:, 1] > 0, log_expit(kind), log_expit(-kind))
            self._upper = expit(kind[:, 0])
        top = joint.max(axis=1, keepdims=True)
        weights = np.exp(joint - top)
        total = weights.sum(axis=1, keepdims=True)
        self._log_likelihood = (np.log(total) + top).sum()
        self._posterior, self._at = weights / total, theta.copy()
        self._weight = self._posterior[data.row]
        self._residual = np.where(odds > 0, small, 1.0)
        self._residual /= one_more
        self._residual *= data.sign[:, None]
