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

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.statistics.mixed_likelihood import ClusteredOutcomes, Maximum, MixedLikelihood, TwoKinds

NODES = 31
"""Nodes of the quadrature."""
WIDE_NODES, WIDE = 121, 1.2
"""Nodes if the standard deviation between clusters is larger than `WIDE`."""
RANK_TOLERANCE = 1e-7
COARSE_NODES = 11
"""Nodes for each kind, until it is known whether there are two."""
ALIKE = 0.3
"""Standard deviation between clusters up to which two kinds are not searched for."""
KIND_STARTS = (0.0, -1.4)
"""Log odds of the upper kind from which the search for two kinds starts: half of the clusters, and a fifth."""
MAX_LOG_ODDS = 30.0
"""Largest coefficient of a standardised column. A larger one means that the outcomes are separated by the columns."""


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
    inference_clusters: NDArray[np.intp]
    """The distinct clusters of inference, ascending."""
    influence: FloatArray
    """What each of them adds to the estimates to first order, (inference clusters, columns). `covariance` is the sum
    of its squares, with c/(c - 1) for c clusters."""

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
    data = ClusteredOutcomes.of(design, y[order], np.asarray(clusters)[order])
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
    groups = np.asarray(clusters if inference_clusters is None else inference_clusters)[order][data.starts]
    scores = _sum_by(scores, groups)
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
        inference_clusters=np.unique(groups).astype(np.intp),
        influence=influence[:, fixed] @ back.T,
    )


def _maximise(
    data: ClusteredOutcomes, start: FloatArray, nodes: int | None, shares: FloatArray | None = None
) -> Maximum:
    """Return the maximum found from `start`, with as many nodes as its spread needs."""
    problem = MixedLikelihood(data, nodes or NODES, shares)
    theta = problem.minimise(start).x
    if nodes is None and abs(theta[problem.sigma]) > WIDE:
        problem = MixedLikelihood(data, WIDE_NODES, shares)
        theta = problem.minimise(theta).x
    return problem.maximum(problem.polish(theta))


def _two_kinds(
    data: ClusteredOutcomes, shares: FloatArray, one: Maximum, nodes: int | None
) -> Maximum | None:
    """Return the maximum with two kinds of clusters, None if one kind describes the data as well."""
    from scipy.special import expit

    problem = MixedLikelihood(data, COARSE_NODES, shares)
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


def _lean(data: ClusteredOutcomes, theta: FloatArray, columns: FloatArray) -> FloatArray:
    """Return, for each column of the clusters (clusters, k), a starting coefficient with the sign of the one-kind
    fit.

    In that fit, an effect of a column on the kind appears in the coefficients of columns that are constant within
    clusters. A search that starts at 0 can end at a maximum with the wrong sign.
    """
    first = data.x[data.starts]
    constant = np.flatnonzero((data.x == first[data.row]).all(axis=0))
    between = first[:, constant] @ theta[constant]
    return np.asarray(2 * np.sign((between - between.mean()) @ columns))


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
