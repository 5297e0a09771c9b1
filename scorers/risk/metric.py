"""The metric `risk`: how well text alone predicts which mentions are not in the picture."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.judge import Judge, locates_mentions, needs_object_verdicts
from eidolon.scorers.core.metric import FloatArray, JudgedSample, LeaderboardColumn, Quantity, ratio
from eidolon.scorers.risk.described import Described
from eidolon.scorers.risk.model_file import RiskModel, load_risk_model
from eidolon.scorers.risk.network import BATCH
from eidolon.scorers.risk.quality import auroc, brier, log_loss
from eidolon.scorers.statistics.bootstrap import MAX_UNDEFINED_SHARE, cluster_ids, draws, percentiles

NO_MENTION = "no response names an object of the vocabulary"
ONE_KIND = "the mentions are all right, or all wrong: there is nothing to rank"
RESAMPLES = 500
"""Resamples for the interval of the area under the curve, which is no function of sums."""
SEED = 0


class Risk:
    """How well the text alone, by the risk model, predicts which mentions are not in the picture.

    A category counts once in a response. `mean_risk` beside `wrong` shows whether the model fits this run. Numbers that
    begin with `history_` are of the same mentions, with a history: the run's own earlier responses and their truth, 25
    more after every 25 responses.
    """

    family: str = "risk"
    quantities: tuple[Quantity, ...] = (
        Quantity("brier", False, (0, 1), "mean squared error of the risk", NO_MENTION),
        Quantity("log_loss", False, (0, float("inf")), "mean log loss of the risk, nats", NO_MENTION),
        Quantity("mean_risk", None, (0, 1), "mean risk of a first mention", NO_MENTION),
        Quantity("wrong", None, (0, 1), "share of first mentions that are not in the picture", NO_MENTION),
        Quantity("history_brier", False, (0, 1), "brier, with the run's own history", NO_MENTION),
        Quantity("history_log_loss", False, (0, float("inf")), "log loss, with history, nats", NO_MENTION),
        Quantity("history_mean_risk", None, (0, 1), "mean risk, with history", NO_MENTION),
    )
    fitted_quantities: tuple[Quantity, ...] = (
        Quantity("auroc", True, (0, 1), "area under the ROC curve of the risk", ONE_KIND),
        Quantity("history_auroc", True, (0, 1), "area under the ROC curve, with history", ONE_KIND),
    )
    columns: tuple[str, ...] = (
        "mentions",
        "wrong_mentions",
        "risk",
        "squared_error",
        "log_loss",
        "history_risk",
        "history_squared_error",
        "history_log_loss",
    )
    leaderboard_columns: tuple[LeaderboardColumn, ...] = ()

    def __init__(self, model: RiskModel | None = None) -> None:
        """Take the risk model, by default the shipped one."""
        self._model = load_risk_model() if model is None else model
        self._found: tuple[Sequence[JudgedSample], list[Described], list[FloatArray], list[FloatArray]] | None
        self._found = None

    def check_judge(self, judge: Judge) -> str | None:
        """Return why the risk model cannot read what the judge finds, None if it can."""
        if not locates_mentions(judge):
            return f"judge {judge.name} does not say where in a response an object is named"
        if reason := needs_object_verdicts(judge):
            return reason
        if unknown := self._model.unknown(judge.vocabulary):
            return (
                f"the risk model knows other categories: {unknown[0]!r} and {len(unknown) - 1} more of the judge's are "
                "not among its own; use the judge lexicon with its default vocabulary"
            )
        return None

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the sums named by `columns`, shape (samples, 8)."""
        described, plain, learned = self._risks(samples)
        rows = []
        for one, risk, later in zip(described, plain, learned, strict=True):
            known = one.known
            wrong, risk, later = one.wrong[known], risk[known], later[known]
            both = [(r.sum(), brier(r, wrong).sum(), log_loss(r, wrong).sum()) for r in (risk, later)]
            rows.append([len(wrong), wrong.sum(), *both[0], *both[1]])
        return np.array(rows, dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 8) to the quantities, shape (...)."""
        mentions, wrong, *sums = (totals[..., i] for i in range(len(self.columns)))
        names = ("mean_risk", "brier", "log_loss")
        found = {name: ratio(sums[i], mentions) for i, name in enumerate(names)}
        found |= {f"history_{name}": ratio(sums[3 + i], mentions) for i, name in enumerate(names)}
        return found | {"wrong": ratio(wrong, mentions)}

    def fit(self, samples: Sequence[JudgedSample]) -> dict[str, Estimate]:
        """Return the areas under the curve, with intervals by a bootstrap over images."""
        described, plain, learned = self._risks(samples)
        return {
            "auroc": _area(described, plain),
            "history_auroc": _area(described, learned),
        }

    def _risks(
        self, samples: Sequence[JudgedSample]
    ) -> tuple[list[Described], list[FloatArray], list[FloatArray]]:
        """Return the samples' mentions, and their risks without and with history. They are computed once."""
        if self._found is None or self._found[0] is not samples:
            described = [self._model.describe(s.response, s.judgement) for s in samples]
            plain = [self._model.risk(one) for one in described]
            self._found = samples, described, plain, with_own_history(self._model, described)
        return self._found[1:]


def with_own_history(model: RiskModel, described: Sequence[Described]) -> list[FloatArray]:
    """Return the risks of a run's mentions, each with the history of the responses before its batch of 25."""
    history: FloatArray | None = None
    found: list[FloatArray] = []
    for first in range(0, len(described), BATCH):
        batch = described[first : first + BATCH]
        found += [model.risk(one, history) for one in batch]
        history = model.network.update(model.network.start() if history is None else history, batch)
    return found


def _area(described: Sequence[Described], risks: Sequence[FloatArray]) -> Estimate:
    kept = [one.known for one in described]
    parts = [(risk[known], one.wrong[known]) for one, risk, known in zip(described, risks, kept, strict=True)]
    joined = [np.concatenate(column) if parts else np.zeros(0) for column in zip(*parts, strict=True)]
    value = auroc(joined[0], joined[1]) if parts else float("nan")
    if np.isnan(value):
        return Estimate.undefined(ONE_KIND if parts and len(joined[1]) else NO_MENTION)
    images = [one.image_id for one in described]
    number = {image: i for i, image in enumerate(cluster_ids(images))}
    rows: list[list[int]] = [[] for _ in number]
    start = 0
    for image, (risk, _) in zip(images, parts, strict=True):
        rows[number[image]] += range(start, start + len(risk))
        start += len(risk)
    at = [np.array(some, dtype=np.intp) for some in rows]
    if len(number) < 2:
        return Estimate(value=value, ci=None, reason="no interval: it takes at least two images")
    drawn = np.empty(RESAMPLES)
    for row, chosen in enumerate(draws(len(number), seed=SEED, resamples=RESAMPLES)):
        mentions = np.concatenate([at[image] for image in chosen])
        drawn[row] = auroc(joined[0][mentions], joined[1][mentions])
    if np.isnan(drawn).mean() > MAX_UNDEFINED_SHARE:
        return Estimate(value=value, ci=None, reason="no interval: undefined in too many resamples")
    low, high = percentiles(drawn)
    return Estimate(value=value, ci=(float(low), float(high)))
