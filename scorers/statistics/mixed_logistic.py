"""Logistic regression with a random intercept for each cluster, by maximum likelihood.

    logit P(y_ij = 1) = x_ij·β + sigma·z_i,   z_i ~ N(0, 1)

The intercepts are integrated out by Gauss-Hermite quadrature. Gradient and Hessian are exact (Louis 1982), so that
the covariance of the estimates is that of the likelihood and not of an approximation. Variational and Laplace
approximations are biased for short clusters of 0s and 1s (Breslow and Lin 1995), and responses are such clusters.

Clusters may also be of two kinds, with intercepts that are `distance` apart:

    logit P(y_ij = 1) = x_ij·β + sigma·z_i + distance·k_i,   k_i ∈ {0, 1},   logit P(k_i = 1) = v_i·alpha

This is a latent class with covariates (Dayton and Macready 1988), or a normal mixture for intercepts (Verbeke and
Lesaffre 1996). One normal distribution for a bimodal one biases the coefficients of everything that is correlated
with the kind. Two kinds are fitted if the Bayesian information criterion prefers them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray

NODES = 31
"""Nodes of the quadrature."""
WIDE_NODES, WIDE = 121, 1.2
"""Nodes if the standard deviation between clusters is larger than `WIDE`."""
GRADIENT_TOLERANCE = 1e-4
"""Tolerance of the search, in log-likelihood per unit of the standardised problem. Standard errors are thousands of
times larger."""
POLISH = 2
"""Newton steps after the search. They remove what its tolerance leaves, about 1e-5 of an estimate."""
RANK_TOLERANCE = 1e-7
COARSE_NODES = 11
"""Nodes for each kind, until it is known whether there are two."""
ALIKE = 0.3
"""Standard deviation between clusters up to which two kinds are not searched for."""
KIND_STARTS = (0.0, -1.4)
"""Log odds of the upper kind from which the search for two kinds starts: half of the clusters, and a fifth."""
LONGEST_PRODUCT = 1000
"""Factors between 1 and 2 whose product cannot overflow."""
MAX_LOG_ODDS = 30.0
"""Largest coefficient of a standardised column. A larger one means that the outcomes are separated by the columns."""


@dataclass(frozen=True, slots=True)
class TwoKinds:
    """Clusters of a lower and an upper kind."""

    distance: float
    """Distance between their intercepts, in log odds. Positive."""
    upper: float
    """Share of clusters of the upper kind."""


@dataclass(frozen=True, slots=True)
class MixedLogisticFit:
    """Estimates by column, with their covariance."""

    names: tuple[str, ...]
    """The columns in the fit. Those that are a linear combination of columns before them are left out."""
    coefficients: FloatArray
    """Log odds ratios, shape (columns,)."""
    covariance: FloatArray
    """Robust (sandwich) covariance over the clusters of inference, shape (columns, columns)."""
    model_covariance: FloatArray
    """Inverse observed information, shape (columns, columns)."""
    intercept_sd: float
    """sigma, the standard deviation between clusters (of one kind), in log odds."""
    kinds: TwoKinds | None
    """None if all clusters are of one kind."""
    log_likelihood: float
    observations: int
    clusters: int

    def __getitem__(self, name: str) -> tuple[float, float]:
        """Return a coefficient and its robust standard error.

        Raises:
            KeyError: the column was left out.
        """
        if name not in self.names:
            raise KeyError(name)
        at = self.names.index(name)
        return float(self.coefficients[at]), float(self.covariance[at, at] ** 0.5)


class NotEstimableError(ValueError):
    """The data do not determine the coefficients. The message says why."""


def fit_mixed_logistic(
    columns: dict[str, FloatArray],
    outcomes: NDArray[np.bool_],
    clusters: NDArray[np.intp],
    *,
    inference_clusters: NDArray[np.intp] | None = None,
    nodes: int | None = None,
    kinds_by: Sequence[str] | None = None,
) -> MixedLogisticFit:
    """Return the fit of an intercept and the given columns, each of shape (observations,).

    `clusters` names the cluster of each observation, which has its own intercept. `inference_clusters` groups
    observations that are dependent beyond that, such as all responses to one image, for the robust covariance. It
    must be constant within a cluster. `nodes` is the number of quadrature nodes, by default as many as the spread of
    the intercepts needs. With `kinds_by`, clusters may be of two kinds whose shares depend on those columns, which
    must be constant within a cluster. A column that is a linear combination of columns before it is left out.

    Raises:
        NotEstimableError: all outcomes are the same, the columns separate the outcomes, or the likelihood has no
            interior maximum.
    """
    y = np.asarray(outcomes, dtype=float)
    if not len(y) or y.min() == y.max():
        raise NotEstimableError("all outcomes are the same" if len(y) else "there are no observations")
    order = np.argsort(clusters, kind="stable")
    names, design, scale, shift = _standardise(columns, order, len(y))
    data = _Data.of(design, y[order], np.asarray(clusters)[order])
    start = np.zeros(len(names) + 1)
    start[0], start[-1] = np.log(y.mean() / (1 - y.mean())), 0.5
    found = _maximise(data, start, nodes)
    theta = found.theta
    if np.abs(theta[: len(names)]).max() > MAX_LOG_ODDS or not np.isfinite(theta).all():
        raise NotEstimableError("the outcomes are separated by the covariates")
    if not found.is_interior:
        raise NotEstimableError("the likelihood has no interior maximum")
    if kinds_by is not None and abs(theta[-1]) > ALIKE:
        shares = [names.index(name) for name in kinds_by if name in names]
        found = _two_kinds(data, design[data.starts][:, [0, *shares]], found, nodes) or found
        theta = found.theta
    model, scores = np.linalg.inv(found.hessian), found.scores
    if inference_clusters is not None:
        scores = _sum_by(scores, np.asarray(inference_clusters)[order][data.starts])
    many = len(scores) / max(len(scores) - 1, 1)
    influence = scores @ model
    robust = many * influence.T @ influence
    if not (np.isfinite(robust).all() and (np.diag(model) > 0).all() and (np.diag(robust) >= 0).all()):
        raise NotEstimableError("the likelihood is too flat at its maximum")
    back, fixed = _back(scale, shift), slice(len(names))
    return MixedLogisticFit(
        names=names,
        coefficients=back @ theta[fixed],
        covariance=back @ robust[fixed, fixed] @ back.T,
        model_covariance=back @ model[fixed, fixed] @ back.T,
        intercept_sd=abs(float(theta[len(names)])),
        kinds=found.kinds,
        log_likelihood=found.log_likelihood,
        observations=len(y),
        clusters=data.clusters,
    )


@dataclass(frozen=True, slots=True)
class _Data:
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
    def of(cls, x: FloatArray, y: FloatArray, clusters: NDArray[np.intp]) -> "_Data":
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
class _Maximum:
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


def _maximise(
    data: _Data, start: FloatArray, nodes: int | None, shares: FloatArray | None = None
) -> _Maximum:
    """Return the maximum found from `start`, with as many nodes as its spread needs."""
    problem = _Likelihood(data, nodes or NODES, shares)
    theta = problem.minimise(start).x
    if nodes is None and abs(theta[problem.sigma]) > WIDE:
        problem = _Likelihood(data, WIDE_NODES, shares)
        theta = problem.minimise(theta).x
    return problem.maximum(problem.polish(theta))


def _two_kinds(data: _Data, shares: FloatArray, one: _Maximum, nodes: int | None) -> _Maximum | None:
    """Return the maximum with two kinds of clusters, None if one kind describes the data as well."""
    from scipy.special import expit

    problem = _Likelihood(data, COARSE_NODES, shares)
    spread = abs(one.theta[-1])
    distance = 2.5 * spread  # the distance at which a fifth of the clusters gives this spread
    starts = []
    for odds in KIND_STARTS:
        start = np.r_[one.theta, distance, odds, _lean(data, one.theta, shares[:, 1:])]
        start[0] -= distance * expit(odds)
        start[problem.sigma] = 0.4 * spread
        starts.append(problem.minimise(start))
    best = min(starts, key=lambda found: float(found.fun))
    if not np.abs(best.x).max() <= MAX_LOG_ODDS:
        return None  # a few clusters far away from the others are no kind
    coarse = problem.maximum(best.x)
    if coarse.information(data.clusters) > one.information(data.clusters):
        return None
    two = _maximise(data, best.x, nodes, shares)
    if not np.abs(two.theta).max() <= MAX_LOG_ODDS or not two.is_interior:
        return None
    return two if two.information(data.clusters) < one.information(data.clusters) else None


def _lean(data: _Data, theta: FloatArray, columns: FloatArray) -> FloatArray:
    """Return, for each column of the clusters (clusters, k), a starting coefficient with the sign of the one-kind
    fit.

    In that fit, an effect of a column on the kind appears in the coefficients of columns that are constant within
    clusters. A search that starts at 0 can end at a maximum with the wrong sign.
    """
    first = data.x[data.starts]
    constant = np.flatnonzero((data.x == first[data.row]).all(axis=0))
    between = first[:, constant] @ theta[constant]
    return np.asarray(2 * np.sign((between - between.mean()) @ columns))


class _Likelihood:
    """Minus the log-likelihood, its gradient and its Hessian.

    theta is β, sigma and, with two kinds, their distance and alpha. `shares` are the v of the clusters, shape
    (clusters, len(alpha)). A node of the quadrature is a value of z, or of z and k. `_features` are the factors of
    sigma and the distance at each node.
    """

    def __init__(self, data: _Data, nodes: int, shares: FloatArray | None = None) -> None:
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

    def maximum(self, theta: FloatArray) -> _Maximum:
        """Return what is known at the end of a search."""
        scores, hessian = self.scores(theta), self.hessian(theta)
        return _Maximum(theta, float(self._log_likelihood), scores, hessian, self.kinds(theta))

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


def _standardise(
    columns: dict[str, FloatArray], order: NDArray[np.intp], n: int
) -> tuple[tuple[str, ...], FloatArray, FloatArray, FloatArray]:
    """Return the names of the columns in the fit, the design (n, columns) with the intercept first, its scale and its
    shift."""
    from scipy.linalg import qr

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
    """Return the matrix that maps coefficients of standardised columns to those of the given columns."""
    back = np.diag(1 / scale)
    back[0] = -shift / scale
    back[0, 0] = 1.0
    return back


def _sum_by(rows: FloatArray, groups: NDArray[np.intp] | Sequence[int]) -> FloatArray:
    _, at = np.unique(groups, return_inverse=True)
    sums = np.zeros((at.max() + 1, rows.shape[1]))
    np.add.at(sums, at, rows)
    return sums
