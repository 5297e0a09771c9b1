"""The choice of what to name next, among items of known utility: a mixed conditional logit with errors in variables.

At each step one of the items that are left is chosen. Items are true or absent. With utility u of an item,

    P(item) ~ exp(g·u)                  for a true item
    P(item) ~ exp(g·u + a + f·c + b·f') for an absent one

f are the columns of the step, b is normal for each image with a standard deviation for each column of f' (McFadden &
Train 2000). Only noisy measurements q = u + e are known. Within true and within absent items u is taken as normal, so
u given q is normal too: mean m + r·(q - m), variance r·s², r = 1 - s²/Var(q), where m is the mean of q and s² the
variance of e. All of it is integrated out by draws: simulated maximum likelihood with structural errors in variables
(Carroll et al. 2006, chapter 8). Without the noise the fit is an ordinary mixed logit.

A judge may read an absent item where a right one is chosen, with known probability ε. Which absent item it then reads
does not depend on the utilities, so each of the n that are left is as likely. A share s is read in place of the right
item, the others beside it, where nothing is chosen at all. An absent item that is read is a mixture:

    P(read) = P(item) + s·ε·P(right)/n + (1 - s)·ε/n

A right item that something else is read for is no longer left, and nothing shows it. So the state is integrated out too
(`lost_choices`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.statistics.lost_choices import LostItems, StepOdds, draw_lost
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

DRAWS = 64
"""Draws for each image, half of them the negatives of the others."""
UTILITY, ABSENT = "utility", "absent"
STEPS = 100
TOLERANCE = 0.02
"""Largest slope of the log-likelihood at the end. A standard error of 0.3 then errs by at most 0.002."""
RIDGE = 1e-6
START_UTILITY, START_SPREAD = 0.3, 0.4
VANISHING = 1e-12
TINY = 1e-300
NO_NOISE = 1e-9
"""A smaller variance of the noise is that of rounding."""
MOST_MISREAD = 0.99
LEAST_SPREAD = 0.05
"""A smaller standard deviation between images is taken as zero for the errors of the others."""


@dataclass(frozen=True, slots=True)
class KnownChoices:
    """The steps of all images, padded. I images, M steps, K items."""

    measured: FloatArray
    """Measured utilities, (I, K); 0 at padding."""
    is_true: NDArray[np.bool_]
    """(I, K); false at padding."""
    is_absent: NDArray[np.bool_]
    """(I, K); false at padding."""
    left: NDArray[np.bool_]
    """Items that can be chosen at a step, (I, M, K)."""
    chosen: NDArray[np.intp]
    """The item that is chosen, (I, M); -1 for an absent one that was not measured."""
    wrong: NDArray[np.bool_]
    """Whether it is absent, (I, M)."""
    unmeasured: FloatArray
    """Number of absent items that are left and were not measured, (I, M). Each counts as the mean of the measured ones
    of all images. At least 1 where one of them is chosen."""
    columns: Mapping[str, FloatArray]
    """What may change the utility of absent items, by name: (I, M) each."""
    there: NDArray[np.bool_]
    """Which steps exist, (I, M). One with no true or no absent item left tells nothing and must not be there."""
    misread: FloatArray | None = None
    """Probability that a right mention is read as a wrong one, (I, M). None: never."""
    misread_error: FloatArray | None = None
    """What one standard error of that probability changes, (I, M). All steps err alike. None: nothing."""
    in_place: float = 0.0
    """Share of these misreadings in which the right item is not read at all."""


@dataclass(frozen=True, slots=True)
class KnownChoiceFit:
    """Estimates by name, with the covariance robust to dependence within an image."""

    names: tuple[str, ...]
    estimates: FloatArray
    covariance: FloatArray
    spreads: Mapping[str, float]
    """Standard deviation between images of the coefficient of each random column."""
    log_likelihood: float
    influence: FloatArray
    """What each image adds to the estimates, to first order, (I, estimates). The squares add up to the covariance."""
    misread_shift: FloatArray
    """What one standard error of `misread` changes, (estimates,). The covariance has its square."""

    def __getitem__(self, name: str) -> tuple[float, float]:
        """Return an estimate and its standard error."""
        at = self.names.index(name)
        return float(self.estimates[at]), float(self.covariance[at, at] ** 0.5)


def fit_choices(
    choices: KnownChoices, noise: float, *, random: Sequence[str] = (), seed: int = 0, draws: int = DRAWS
) -> KnownChoiceFit:
    """Return the fit. `noise` is the variance of a measured utility's error; `random` names columns, or `absent`.

    Raises:
        NotEstimableError: the steps do not determine the coefficients.
    """
    model = _Likelihood(choices, noise, random, seed, draws)
    theta = _maximise(model)
    if model.may_lose():
        model.draw_lost(theta, seed)
        theta = _maximise(model, theta)
    value, scores = model.scores(theta)
    # A column without variation, or a spread of zero, has no curvature.
    varies = (scores**2).sum(axis=0) > VANISHING
    keep = varies & np.array([i < model.fixed or abs(t) > LEAST_SPREAD for i, t in enumerate(theta)])
    if not keep.any():
        raise NotEstimableError("there is no choice")
    hessian = model.hessian(theta)[np.ix_(keep, keep)]
    try:
        bread = np.linalg.inv(-hessian)
    except np.linalg.LinAlgError as error:
        raise NotEstimableError("the mentions do not determine the coefficients") from error
    if not np.isfinite(bread).all() or (np.diag(bread) <= 0).any():
        raise NotEstimableError("the mentions do not determine the coefficients")
    influence = scores[:, keep] @ bread
    robust = influence.T @ influence
    # The robust errors are too small with few images.
    np.fill_diagonal(robust, np.maximum(np.diag(robust), np.diag(bread)))
    shift = bread @ _score_shift(model, theta, scores)[keep]
    fixed = int(keep[: model.fixed].sum())
    return KnownChoiceFit(
        tuple(name for name, kept in zip(model.names, keep, strict=False) if kept),
        theta[: model.fixed][keep[: model.fixed]],
        (robust + np.outer(shift, shift))[:fixed, :fixed],
        {name: abs(float(theta[model.fixed + i])) for i, name in enumerate(random)},
        value,
        influence[:, :fixed],
        shift[:fixed],
    )


def _score_shift(model: "_Likelihood", theta: FloatArray, scores: FloatArray) -> FloatArray:
    """Return what one standard error of the misreading adds to the gradient, (parameters,)."""
    if model.choices.misread_error is None:
        return np.zeros(len(theta))
    known = model.misread
    model.misread = model.widest_misread()
    moved = model.scores(theta)[1]
    model.misread = known
    return np.asarray((moved - scores).sum(axis=0))


class _Likelihood:
    """The likelihood of all steps that exist. N of them, in the order of images; D draws, or 1 where all are alike."""

    def __init__(
        self, choices: KnownChoices, noise: float, random: Sequence[str], seed: int, draws: int
    ) -> None:
        self.choices = choices
        images, items = choices.measured.shape
        rng = np.random.default_rng(seed)
        half = rng.standard_normal((images, len(random) + (items if noise > NO_NOISE else 0), -(-draws // 2)))
        normal = np.concatenate([half, -half], axis=-1)
        self.draws = normal.shape[-1]
        self.at = np.nonzero(choices.there)
        """The image and the step of each, (N,) and (N,)."""
        self.image = self.at[0]
        self.images, self.starts, self.number = np.unique(self.image, return_index=True, return_inverse=True)
        columns = {ABSENT: np.ones_like(choices.unmeasured), **choices.columns}
        self.names = (UTILITY, *columns)
        self.fixed = len(self.names)
        self.columns = np.stack([column[self.at] for column in columns.values()], axis=-1)
        shaken = [columns[name][self.at][:, None] * normal[self.image, i] for i, name in enumerate(random)]
        self.shaken = np.stack(shaken, axis=-1) if shaken else np.zeros((len(self.image), 1, 0))
        self.utility = _utilities(choices, noise, normal[:, len(random) :])
        self.known = choices.chosen[self.at][:, None] >= 0
        self.of_chosen = self.utility[self.image, np.clip(choices.chosen[self.at], 0, None)]
        self.wrong, self.unmeasured = choices.wrong[self.at][:, None], choices.unmeasured[self.at][:, None]
        self.true_left = (choices.left & choices.is_true[:, None]).astype(float)
        self.absent_left = (choices.left & choices.is_absent[:, None]).astype(float)
        misread = np.zeros_like(choices.unmeasured) if choices.misread is None else choices.misread
        self.misread = np.minimum(misread[self.at], MOST_MISREAD)[:, None]
        self.lost: LostItems | None = None
        many = self.absent_left.sum(axis=2)[self.at][:, None] + self.unmeasured
        alike = np.where(self.known, 1.0, self.unmeasured)  # those that were not measured count as one
        self.log_share = np.log(np.maximum(alike, 1) / np.maximum(many, 1))

    def scores(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood, and its gradient by image, (I, parameters)."""
        gamma, lost, wrong, known = theta[0], self.lost, self.wrong, self.known
        weights, scale = self._weights(gamma)
        weighted = weights * self.utility
        of_true, of_absent = (
            (np.maximum(side @ weights, TINY)[self.at], (side @ weighted)[self.at])
            for side in (self.true_left, self.absent_left)
        )
        if lost is not None:
            of_true = self._still_left(of_true, weights)
        one, one_weighted = (each[self.image, 0] for each in self._unmeasured(gamma, scale))
        shift = scale[self.image, 0]
        log_one = np.log(np.maximum(one * self.unmeasured, TINY)) + shift
        all_absent = of_absent[0] + one * self.unmeasured
        means = of_true[1] / of_true[0], (of_absent[1] + one_weighted * self.unmeasured) / all_absent
        log_true, log_absent = np.log(of_true[0]) + shift, np.log(all_absent) + shift
        eta = log_absent - log_true + self._linear(theta)
        log_right = -np.logaddexp(0, eta)
        chosen = np.where(known, gamma * self.of_chosen, log_one)
        within = chosen - np.where(wrong, log_absent, log_true)
        log_p, meant, chose = self._as_read(log_right + np.where(wrong, eta, 0) + within, log_right)
        value_of_chosen = np.where(known, self.of_chosen, one_weighted / np.maximum(one, TINY))
        if lost is not None:
            of_lost = lost.of(self.utility)
            log_lost = self._log_misread(self.choices.in_place) + log_right + gamma * of_lost - log_true
            log_p = np.where(lost.there, log_lost, log_p)
            meant, chose = (np.where(lost.there, 1.0, each) for each in (meant, chose))
            value_of_chosen, wrong = np.where(lost.there, of_lost, value_of_chosen), wrong & ~lost.there
        by_draw = self._by_image(log_p) - (0 if lost is None else lost.log_drawn[self.images])
        top = by_draw.max(axis=1, keepdims=True)
        likely = np.exp(by_draw - top)
        value = float((top[:, 0] + np.log(likely.mean(axis=1))).sum())
        posterior = (likely / likely.sum(axis=1, keepdims=True))[self.number]
        miss = wrong * meant - chose / (1 + np.exp(-np.clip(eta, -500, 500)))
        of_utility = miss * (means[1] - means[0])
        of_utility = of_utility + meant * (value_of_chosen - np.where(wrong, means[1], means[0]))
        miss = miss * posterior
        by_step = [
            (of_utility * posterior).sum(axis=1)[:, None],
            miss.sum(axis=1)[:, None] * self.columns,
            np.einsum("nr,nrc->nc", miss, self.shaken),
        ]
        gradient = np.zeros((len(self.choices.measured), len(theta)))
        gradient[self.images] = self._by_image(np.concatenate(by_step, axis=1))
        return value, gradient

    def may_lose(self) -> bool:
        """Tell whether true items are read as absent ones, so that they are not left.

        Where none was seen, courses would have no weight and only take draws from the others.
        """
        return self.choices.in_place > 0 and bool(self.misread.any())

    def draw_lost(self, theta: FloatArray, seed: int) -> None:
        """Draw which true items were lost, under these parameters."""
        c, gamma = self.choices, theta[0]
        weights, scale = self._weights(gamma)
        one = self._unmeasured(gamma, scale)[0][self.image, 0]
        tilt = np.exp(np.clip(self._linear(theta), -50, 50))
        shift, unmeasured = scale[self.image, 0], one * self.unmeasured
        chosen = np.where(self.known, np.exp(gamma * self.of_chosen - shift), unmeasured)
        odds = StepOdds(
            weights=weights,
            true=(self.true_left @ weights)[self.at],
            absent=((self.absent_left @ weights)[self.at] + unmeasured) * tilt,
            chosen=chosen * tilt,
        )
        read = (np.arange(c.left.shape[2]) == c.chosen[..., None]).any(axis=1)
        share = self.widest_misread() * np.exp(self.log_share)
        self.lost = draw_lost(
            odds,
            at=self.at,
            may_lose=self.wrong[:, 0],
            candidates=(c.left & (c.is_true & ~read)[:, None])[self.at],
            in_place=c.in_place * share,
            beside=(1 - c.in_place) * share,
            draws=self.draws,
            seed=seed,
        )

    def widest_misread(self) -> FloatArray:
        """Return the probability of misreading and a standard error of it, (N, 1)."""
        error = self.choices.misread_error
        return np.minimum(self.misread + (0 if error is None else error[self.at][:, None]), MOST_MISREAD)

    def _by_image(self, values: FloatArray) -> FloatArray:
        """Return the sums over the steps of each image that has any, (images with steps, …)."""
        if not len(values):
            return values
        return np.asarray(np.add.reduceat(values, self.starts, axis=0))

    def _weights(self, gamma: float) -> tuple[FloatArray, FloatArray]:
        """Return the odds of each item, (I, K, D), less the largest of an image, and the logarithm of that."""
        exponent = gamma * self.utility
        item = (self.choices.is_true | self.choices.is_absent)[..., None]
        shift = np.where(item, exponent, -np.inf).max(axis=1, keepdims=True)
        return np.exp(np.minimum(exponent - shift, 0)), shift

    def _linear(self, theta: FloatArray) -> FloatArray:
        """Return what the columns add to the utility of absent items, (N, D)."""
        return np.asarray((self.columns @ theta[1 : self.fixed])[:, None] + self.shaken @ theta[self.fixed :])

    def _still_left(
        self, of_true: tuple[FloatArray, FloatArray], weights: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the sums over true items without those that were lost before."""
        assert self.lost is not None
        gone = self.lost.of(weights)
        count = self.true_left.sum(axis=2)[self.at][:, None] - self.lost.before(np.ones(gone.shape))
        # A difference of sums has rounding errors. What is left has at least the smallest weight.
        least = np.where(self.choices.is_true[..., None], weights, np.inf).min(axis=1)[self.image]
        summed = np.maximum(of_true[0] - self.lost.before(gone), np.minimum(least, 1))
        weighted = of_true[1] - self.lost.before(gone * self.lost.of(self.utility))
        return np.where(count > 0, summed, TINY), np.where(count > 0, weighted, 0)

    def _log_misread(self, share: float) -> FloatArray:
        """Return the log-probability of reading just this item where a right one is chosen, (N, 1)."""
        return np.asarray(np.log(np.maximum(share * self.misread, TINY)) + self.log_share)

    def _as_read(self, log_p: FloatArray, log_right: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the log-probability of what the judge reads, the probability that the model chose just that, and the
        probability that it chose anything at this step."""
        meant, chose = np.ones_like(log_p), np.ones_like(log_p)
        if not self.misread.any():
            return log_p, meant, chose
        in_place, wrong = self.choices.in_place, self.wrong[:, 0]
        read = log_p + np.log1p(-self.misread)
        log_beside = np.broadcast_to(self._log_misread(1 - in_place), log_p.shape)[wrong]
        every = np.logaddexp(log_p[wrong], log_beside)
        if self.lost is None:
            # Where courses were drawn, they have what was read in place of something else.
            every = np.logaddexp(every, (self._log_misread(in_place) + log_right)[wrong])
        read[wrong], meant[wrong] = every, np.exp(log_p[wrong] - every)
        chose[wrong] = 1 - np.exp(log_beside - every)
        return read, meant, chose

    def _unmeasured(self, gamma: float, shift: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the mean of e^(gamma·u) over the measured absent items of all images, less the shift of each image,
        and that of u·e^(gamma·u)."""
        values = self.utility[self.choices.is_absent]
        if not values.size:
            return np.zeros_like(shift), np.zeros_like(shift)
        top = float((gamma * values).max())
        weights = np.exp(gamma * values - top)
        scale = np.exp(np.minimum(top - shift, 500))
        return weights.mean() * scale, (weights * values).mean() * scale

    def hessian(self, theta: FloatArray) -> FloatArray:
        """Return the Hessian, by central differences of the gradient."""
        step = 1e-4
        rows = []
        for unit in np.eye(len(theta)):
            ahead, behind = (self.scores(theta + s * step * unit)[1].sum(axis=0) for s in (1, -1))
            rows.append((ahead - behind) / (2 * step))
        found = np.array(rows)
        return np.asarray((found + found.T) / 2)


def _utilities(choices: KnownChoices, noise: float, normal: FloatArray) -> FloatArray:
    """Return draws of the utilities given their measurements, (I, K, draws); (I, K, 1) without noise."""
    if noise <= NO_NOISE:
        return choices.measured[..., None]
    found = np.zeros(normal.shape)
    for side in (choices.is_true, choices.is_absent):
        values = choices.measured[side]
        spread = float(values.var()) if len(values) else 0.0
        trust = max(1 - noise / spread, 0.05) if spread > 0 else 1.0
        centre = values.mean() if len(values) else 0.0
        mean = centre + trust * (choices.measured - centre)
        drawn = mean[..., None] + (trust * noise) ** 0.5 * normal
        found = np.where(side[..., None], drawn, found)
    return found


def _maximise(model: _Likelihood, start: FloatArray | None = None) -> FloatArray:
    """Return the maximum, by BFGS from the information matrix of Berndt, Hall, Hall and Hausman (1974)."""
    # scipy takes half a second to import, and most runs fit nothing.
    from scipy.optimize import minimize

    if start is None:
        start = np.zeros(model.fixed + model.shaken.shape[-1])
        start[0], start[model.fixed :] = START_UTILITY, START_SPREAD

    def descend(theta: FloatArray) -> tuple[float, FloatArray]:
        value, scores = model.scores(theta)
        return -value, -scores.sum(axis=0)

    scores = model.scores(start)[1]
    information = scores.T @ scores
    information += RIDGE * np.diag(np.maximum(np.diag(information), 1.0))
    first = np.linalg.inv(information)
    found = minimize(
        descend,
        start,
        jac=True,
        method="BFGS",
        options={"maxiter": STEPS, "gtol": TOLERANCE, "hess_inv0": (first + first.T) / 2},
    )
    return np.asarray(found.x)
