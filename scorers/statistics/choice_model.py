"""The conditional logit: which alternative of a set is chosen, given what is known about each.

    P(alternative a of set s is chosen) = exp(x_sa·β + o_sa) / Σ_b exp(x_sb·β + o_sb)

A set is what is left when a response names its next object: the objects of the image that it has not named, and
objects that are not there. The columns x describe the alternatives. The offset o is a utility that is known, and has
the coefficient 1. Whatever all alternatives of a set share cancels, so that a set needs no intercept (McFadden 1974).

Choices of one response, or of all responses to one image, depend on each other. Standard errors are therefore robust
over clusters. `bootstrap_choice` resamples whole clusters instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.statistics.bootstrap import LEVEL
from eidolon.scorers.statistics.coefficients import NamedCoefficients
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

RANK_TOLERANCE = 1e-7
TOLERANCE = 1e-9
"""Largest gain in log-likelihood, per choice, that the next step may still promise at the end of the search."""
STEP = 0.01
"""Largest step in standardised log odds at the end. Where columns separate what is chosen, steps never become small."""
STEPS = 100
MAX_LOG_ODDS = 30.0
"""Largest coefficient of a standardised column. A larger one means that the columns separate what is chosen."""


@dataclass(frozen=True, slots=True)
class ChoiceSets:
    """Alternatives, one a row. Arrays have shape (alternatives,)."""

    columns: Mapping[str, FloatArray]
    chosen: BoolArray
    """True for one alternative of each set."""
    sets: IntArray
    """The set of each alternative: any integer."""
    clusters: IntArray
    """What a set belongs to, such as its image. Constant within a set."""
    offset: FloatArray | None = None
    """A known utility, in log odds."""


@dataclass(frozen=True, slots=True)
class ChoiceFit(NamedCoefficients):
    """A fit of choices. A column that is constant within all sets is left out too."""

    log_likelihood: float
    choices: int
    """Sets with more than one alternative."""
    alternatives: int
    clusters: int

    def interval(self, name: str, level: float = LEVEL) -> tuple[float, float]:
        """Return the interval of a coefficient by Student's t with clusters - 1 degrees of freedom.

        Raises:
            KeyError: the column was left out.
        """
        from scipy.special import stdtrit

        value, error = self[name]
        reach = float(stdtrit(self.clusters - 1, (1 + level) / 2)) * error
        return value - reach, value + reach


def fit_choice(data: ChoiceSets, *, weights: FloatArray | None = None) -> ChoiceFit:
    """Return the fit by maximum likelihood. `weights` of the alternatives, constant within a set, count sets.

    Raises:
        ValueError: a set has no chosen alternative or several, or belongs to several clusters.
        NotEstimableError: no set has a choice, there are fewer than two clusters, or the columns separate what is
            chosen.
    """
    problem = _Problem.of(data)
    count = np.ones(len(problem.starts)) if weights is None else problem.of_sets(weights)
    found = problem.search(np.zeros(len(problem.names)), count)
    scores, information = problem.derivatives(found, count)
    model = _inverse(information)
    by_cluster = np.zeros((problem.clusters, len(problem.names)))
    np.add.at(by_cluster, problem.cluster, scores)
    many = problem.clusters / (problem.clusters - 1)
    robust = model @ (many * by_cluster.T @ by_cluster) @ model
    scale = np.outer(problem.scale, problem.scale)
    return ChoiceFit(
        names=problem.names,
        coefficients=found / problem.scale,
        covariance=robust / scale,
        model_covariance=model / scale,
        log_likelihood=problem.log_likelihood(found, count),
        choices=len(problem.starts),
        alternatives=len(problem.row),
        clusters=problem.clusters,
    )


def bootstrap_choice(data: ChoiceSets, *, resamples: int, seed: int) -> FloatArray:
    """Return the coefficients of `fit_choice(data).names` in resamples of the clusters, shape (resamples, columns).

    A resample whose columns separate what is chosen is a row of NaN.

    Raises:
        ValueError: as for `fit_choice`.
        NotEstimableError: as for `fit_choice`, for the data themselves.
    """
    problem = _Problem.of(data)
    start = problem.search(np.zeros(len(problem.names)), np.ones(len(problem.starts)))
    rng = np.random.default_rng(seed)
    drawn = np.full((resamples, len(problem.names)), np.nan)
    for number in range(resamples):
        times = np.bincount(
            rng.integers(problem.clusters, size=problem.clusters), minlength=problem.clusters
        ).astype(float)
        try:
            drawn[number] = problem.search(start, times[problem.cluster]) / problem.scale
        except NotEstimableError:
            continue
    return drawn


@dataclass(frozen=True, slots=True)
class _Problem:
    """The sets with a choice, in order, with standardised columns that are centred within each set."""

    names: tuple[str, ...]
    x: FloatArray
    offset: FloatArray
    starts: IntArray
    """The first row of each set."""
    row: IntArray
    """The set of each row."""
    picked: IntArray
    """The chosen row of each set."""
    cluster: IntArray
    """The cluster of each set."""
    clusters: int
    scale: FloatArray
    order: IntArray
    """The row of the data for each row here."""

    @classmethod
    def of(cls, data: ChoiceSets) -> "_Problem":
        _, sets, sizes = np.unique(data.sets, return_inverse=True, return_counts=True)
        picks = np.bincount(sets, weights=np.asarray(data.chosen, dtype=float), minlength=len(sizes))
        if (picks != 1).any():
            raise ValueError("each set needs one chosen alternative")
        order = np.argsort(sets, kind="stable")
        order = order[sizes[sets[order]] > 1]
        if not len(order):
            raise NotEstimableError("no choice has more than one alternative")
        row = np.unique(sets[order], return_inverse=True)[1]
        starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
        cluster = np.unique(np.asarray(data.clusters)[order], return_inverse=True)[1]
        if (cluster != cluster[starts][row]).any():
            raise ValueError("a set belongs to several clusters")
        if cluster.max() == 0:
            raise NotEstimableError("it takes two clusters for a standard error")
        size = np.diff(np.r_[starts, len(row)])
        names, x, scale = _standardise(data.columns, order, starts, row, size)
        offset = np.zeros(len(row)) if data.offset is None else np.asarray(data.offset, dtype=float)[order]
        return cls(
            names=names,
            x=x,
            offset=offset,
            starts=starts,
            row=row,
            picked=np.flatnonzero(np.asarray(data.chosen)[order]),
            cluster=cluster[starts],
            clusters=int(cluster.max()) + 1,
            scale=scale,
            order=order,
        )

    def of_sets(self, weights: FloatArray) -> FloatArray:
        """Return the weight of each set from those of the alternatives."""
        return np.asarray(weights, dtype=float)[self.order][self.starts]

    def log_likelihood(self, beta: FloatArray, count: FloatArray) -> float:
        return float(count @ self._log_shares(beta)[self.picked])

    def derivatives(self, beta: FloatArray, count: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the scores of the sets (sets, columns), and the information (columns, columns)."""
        share = np.exp(self._log_shares(beta))
        mean = np.add.reduceat(self.x * share[:, None], self.starts, axis=0)
        scores = (self.x[self.picked] - mean) * count[:, None]
        # From deviations: the difference of two products is rounding alone where one share is near 1.
        deviation = self.x - mean[self.row]
        return scores, np.asarray((deviation * (share * count[self.row])[:, None]).T @ deviation)

    def search(self, start: FloatArray, count: FloatArray) -> FloatArray:
        """Return the maximum of the log-likelihood, which is concave, by Newton's method with halved steps."""
        beta, value = start, self.log_likelihood(start, count)
        for _ in range(STEPS):
            if value > -TOLERANCE * count.sum():  # every choice is certain; further steps are rounding alone
                break
            scores, information = self.derivatives(beta, count)
            gradient = scores.sum(axis=0)
            step = _inverse(information) @ gradient
            if gradient @ step <= TOLERANCE * count.sum() and np.abs(step).max(initial=0.0) < STEP:
                return np.asarray(beta + step)  # the error is squared once more
            length, found = 1.0, self.log_likelihood(beta + step, count)
            while found < value and length > 1e-6:
                length /= 2
                found = self.log_likelihood(beta + length * step, count)
            beta, value = beta + length * step, found
            if not np.abs(beta).max(initial=0.0) <= MAX_LOG_ODDS:
                break
        raise NotEstimableError("what is chosen is separated by the columns")

    def _log_shares(self, beta: FloatArray) -> FloatArray:
        utility = self.x @ beta + self.offset
        utility = utility - np.maximum.reduceat(utility, self.starts)[self.row]
        return np.asarray(utility - np.log(np.add.reduceat(np.exp(utility), self.starts))[self.row])


def _standardise(
    columns: Mapping[str, FloatArray],
    order: IntArray,
    starts: IntArray,
    row: IntArray,
    size: IntArray,
) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Return the names of the columns in the fit, their values centred within sets and scaled, and the scales."""
    names: list[str] = []
    kept: list[FloatArray] = []
    basis: list[FloatArray] = []
    scales: list[float] = []
    for name, column in columns.items():
        values = np.asarray(column, dtype=float)[order]
        if not np.isfinite(values).all():
            raise ValueError(f"column {name!r} is not finite")
        centred = values - (np.add.reduceat(values, starts) / size)[row]
        spread = float(np.sqrt(np.mean(centred**2)))
        if spread <= RANK_TOLERANCE * max(1.0, float(np.abs(values).max())):
            continue
        standard = centred / spread
        rest = standard
        for _ in range(2):  # twice, because one pass of Gram-Schmidt loses digits
            for unit in basis:
                rest = rest - unit * (unit @ rest)
        length = float(np.linalg.norm(rest))
        if length <= RANK_TOLERANCE * len(rest) ** 0.5:
            continue
        names.append(name)
        kept.append(standard)
        basis.append(rest / length)
        scales.append(spread)
    x = np.column_stack(kept) if kept else np.zeros((len(row), 0))
    return tuple(names), x, np.array(scales)


def _inverse(information: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        raise NotEstimableError("what is chosen is separated by the columns") from None
