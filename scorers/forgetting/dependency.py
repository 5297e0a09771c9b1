"""How much a model's words depend on the image, by position and kind of token: the table of `pdm.json`.

The measure of a token is PDM-H: the Hellinger distance between the model's prediction with the image and without it
(prompt dependency measure: Favero et al., CVPR 2024, arXiv 2403.14003). `models.probing.dependency` measures it.

Late tokens belong to fewer and longer responses, and to other kinds of words. So there are curves by kind of token, and
curves of a fixed set of responses. `fading.py` fits a rate. All intervals are cluster bootstraps over images.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.forgetting.fading import BoolArray, Fade, TokenSeries, fit_fade
from eidolon.scorers.forgetting.fading_signal import fit_signal
from eidolon.scorers.forgetting.token_kinds import KINDS, Kind
from eidolon.scorers.statistics.bootstrap import BootstrapResult, bootstrap

SCHEMA: Literal["eidolon/pdm/1"] = "eidolon/pdm/1"
WIDTH = 8
"""Tokens in a bin."""
BINS = 32
"""Largest number of bins. The last one also holds all later tokens."""
SURVIVAL = 64
"""Tokens that a response must have to be in the fixed set."""
PART = 16
"""Tokens at the start and before token `SURVIVAL` that are compared."""
FIT = "two-forms-2"
"""The version of the fit of fading. Since 2 the main fit is the one without the floor of the noise."""
WITH_FLOOR = "a line through the logarithm, floor left in"
Label: TypeAlias = Literal[Kind, "all"]
ALL: Literal["all"] = "all"


class PdmMean(Estimate):
    """Mean PDM of the tokens of one kind."""

    label: str
    tokens: int


class PdmPoint(Estimate):
    """Mean PDM of the tokens from `start` up to, not including, `end`."""

    start: int
    end: int | None
    """Null for the last bin if it is open."""
    tokens: int
    alive: int
    """Responses that have a token at `start`."""


class PdmCurve(Record):
    """Mean PDM by position of one kind of token."""

    label: Label
    survivors: bool
    """True if only the fixed set of responses is in it."""
    points: tuple[PdmPoint, ...]


class EarlyAndLate(Record):
    """Early and late tokens of the same responses: those with at least `length` tokens."""

    label: Label
    length: int
    responses: int
    early: Estimate
    """Mean PDM of the first `PART` tokens."""
    late: Estimate
    """Mean PDM of the last `PART` tokens before the length."""
    change: Estimate
    """Late minus early."""


class PdmTable(Record):
    """The content of `pdm.json`: all results of a measurement of visual prompt dependency."""

    schema_: Literal["eidolon/pdm/1"] = Field(default=SCHEMA, alias="schema")
    without: str
    """How the image was removed for the second branch (`models.generation.image_ablation`)."""
    beside: str | None = None
    """How it was removed for the third branch; null without one."""
    settings: dict[str, str | int | float | None]
    responses: int
    tokens: int
    kinds: dict[Kind, int]
    means: tuple[PdmMean, ...]
    means_beside: tuple[PdmMean, ...] = ()
    """The means against the third branch."""
    curves: tuple[PdmCurve, ...]
    fixed_sets: tuple[EarlyAndLate, ...]
    fade: Fade
    """The main fit: all tokens, a level for each response. It is without the floor of the noise (`fading_signal.py`)
    where two forms without the image were read, else a line through the logarithm."""
    sensitivity: tuple[Fade, ...]
    """Other choices of tokens and levels; last, where there are two forms, a line with the floor left in."""

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def pdm_table(
    series: Sequence[TokenSeries],
    *,
    without: str,
    beside: str | None = None,
    settings: dict[str, str | int | float | None] | None = None,
    survival: int = SURVIVAL,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PdmTable:
    """Return the table of all measured responses. Those without a token are left out."""
    series = [one for one in series if len(one.hellinger)]
    long = [one for one in series if len(one.hellinger) >= survival]
    labels: tuple[Label, ...] = (ALL, *KINDS)
    line = partial(fit_fade, seed=seed, resamples=resamples)
    two_forms = any(one.signal is not None for one in series)
    fit = partial(fit_signal, seed=seed, resamples=resamples) if two_forms else line
    curve = partial(_curve, seed=seed, resamples=resamples)
    early = partial(_early, seed=seed, resamples=resamples)
    curves = [
        curve(chosen, label, length)
        for length, chosen in ((None, series), (survival, long))
        for label in labels
    ]
    return PdmTable(
        without=without,
        beside=beside,
        settings={
            "survival": survival,
            "resamples": resamples,
            "seed": seed,
            "fade": FIT,
            **(settings or {}),
        },
        responses=len(series),
        tokens=sum(len(one.hellinger) for one in series),
        kinds={kind: sum(one.kinds.count(kind) for one in series) for kind in KINDS},
        means=_means(series, seed=seed, resamples=resamples),
        means_beside=_means(_against_beside(series), seed=seed, resamples=resamples),
        curves=tuple(found for found in curves if found is not None),
        fixed_sets=tuple(early(long, label, survival) for label in labels if long),
        fade=fit(series, "all tokens, a level for each response" + ("" if two_forms else ", floor left in")),
        sensitivity=(
            fit(long, f"responses of {survival} tokens or more"),
            fit(series, "a level for each kind in each response", by_kind=True),
            *(fit(series, kind, only=kind) for kind in KINDS),
            *([line(series, WITH_FLOOR)] if two_forms else []),
        ),
    )


def _against_beside(series: Sequence[TokenSeries]) -> list[TokenSeries]:
    return [replace(one, hellinger=one.beside) for one in series if one.beside is not None]


def _means(series: Sequence[TokenSeries], *, seed: int, resamples: int) -> tuple[PdmMean, ...]:
    """Return the mean PDM of all tokens, of each kind, and of object tokens by their verdict."""
    labels: list[str] = [ALL, *KINDS]
    if any(verdict for one in series for verdict in one.verdicts):
        labels += ["object, grounded", "object, hallucinated"]
    if not series:
        return ()
    sums = np.zeros((len(series), len(labels), 2))
    for row, one in enumerate(series):
        for column, label in enumerate(labels):
            kind, _, verdict = label.partition(", ")
            chosen = np.array(
                [
                    (kind in (ALL, found)) and (not verdict or verdict == judged)
                    for found, judged in zip(one.kinds, one.verdicts, strict=True)
                ],
                dtype=bool,
            )
            sums[row, column] = one.hellinger[chosen].sum(), chosen.sum()
    mean = _bootstrapped_ratio(sums, series, seed=seed, resamples=resamples)
    return tuple(
        PdmMean(
            label=label,
            tokens=int(sums[:, column, 1].sum()),
            value=mean.estimate(column).value,
            ci=mean.estimate(column).ci,
        )
        for column, label in enumerate(labels)
    )


def _curve(
    series: Sequence[TokenSeries], label: Label, length: int | None, *, seed: int, resamples: int
) -> PdmCurve | None:
    """Return the curve of a kind up to `length` tokens. None if there is no such token."""
    longest = min(max((len(one.hellinger) for one in series), default=0), length or WIDTH * BINS)
    bins = -(-longest // WIDTH)
    sums = np.zeros((len(series), bins, 2))
    for row, one in enumerate(series):
        at = np.arange(len(one.hellinger))
        chosen = _of(one, label) & (at < (length or len(at)))
        cells = np.minimum(at[chosen] // WIDTH, bins - 1)
        sums[row, :, 0] = np.bincount(cells, one.hellinger[chosen], minlength=bins)
        sums[row, :, 1] = np.bincount(cells, minlength=bins)
    if not sums[..., 1].any():
        return None
    mean = _bootstrapped_ratio(sums, series, seed=seed, resamples=resamples)
    lengths = np.array([len(one.hellinger) for one in series])
    beyond = length is None and bool((lengths > bins * WIDTH).any())
    return PdmCurve(
        label=label,
        survivors=length is not None,
        points=tuple(
            PdmPoint(
                start=b * WIDTH,
                end=None if beyond and b == bins - 1 else min((b + 1) * WIDTH, length or (b + 1) * WIDTH),
                value=mean.estimate(b).value,
                ci=mean.estimate(b).ci,
                tokens=int(sums[:, b, 1].sum()),
                alive=int((lengths > b * WIDTH).sum()),
            )
            for b in range(bins)
        ),
    )


def _early(
    series: Sequence[TokenSeries], label: Label, length: int, *, seed: int, resamples: int
) -> EarlyAndLate:
    sums = np.zeros((len(series), 2, 2))
    for row, one in enumerate(series):
        at = np.arange(len(one.hellinger))
        parts = at < PART, (at >= length - PART) & (at < length)
        for column, part in enumerate(parts):
            chosen = part & _of(one, label)
            sums[row, column] = one.hellinger[chosen].sum(), chosen.sum()

    def compute(totals: FloatArray) -> dict[str, FloatArray]:
        early, late = np.moveaxis(_ratios(totals, 2), -1, 0)
        return {"early": early, "late": late, "change": late - early}

    found = bootstrap(sums.reshape(len(sums), -1), _images(series), compute, seed=seed, resamples=resamples)
    early, late, change = (found[name].estimate() for name in ("early", "late", "change"))
    return EarlyAndLate(
        label=label, length=length, responses=len(series), early=early, late=late, change=change
    )


def _of(one: TokenSeries, label: Label) -> BoolArray:
    return np.array([label in (ALL, kind) for kind in one.kinds], dtype=bool)


def _images(series: Sequence[TokenSeries]) -> list[ImageId]:
    return [one.image_id for one in series]


def _ratios(totals: FloatArray, columns: int) -> FloatArray:
    pairs = totals.reshape(*totals.shape[:-1], columns, 2)
    return ratio(pairs[..., 0], pairs[..., 1])


def _bootstrapped_ratio(
    sums: FloatArray, series: Sequence[TokenSeries], *, seed: int, resamples: int
) -> BootstrapResult:
    """Return the ratios of sums, shape (responses, columns, 2), over all responses: shape (columns,)."""
    columns = sums.shape[1]
    found = bootstrap(
        sums.reshape(len(sums), -1),
        _images(series),
        lambda totals: {"mean": _ratios(totals, columns)},
        seed=seed,
        resamples=resamples,
    )
    return found["mean"]
