"""The figure `risk`: mean risk of mentions against the share that is not in the picture, in bins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import Place, line
from eidolon.benchmark.drawing.style import BLUE, DIM, Sheet, percent
from eidolon.benchmark.report.plots.records import Drawing, NotDrawnError, PlottedRun
from eidolon.scorers.risk.quality import ReliabilityBin, brier, reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAMILY = "risk"
MOST_BINS = 10
LEAST_MENTIONS = 20
"""Mentions in a bin. With fewer than twice as many there is no figure."""
SAME = 1e-6
"""The largest difference of the Brier score that rounding explains."""
HEIGHT = 3.2
"""Height of the axes with their labels, in inches."""


def risk(plotted: PlottedRun) -> Drawing:
    """Return the reliability of the risks of a run, without a history.

    Raises:
        UserError: the run was not scored with `--metric risk`, has too few mentions with a verdict, or was scored with
            another risk model.
    """
    bins = risk_bins(plotted)
    return lambda sheet: _draw(plotted.name, bins, sheet)


def risk_bins(plotted: PlottedRun) -> tuple[ReliabilityBin, ...]:
    """Return bins of equally many first mentions, in the order of their risk.

    The risks are computed from the responses and judgements of the run. Their Brier score must be that of its scores.

    Raises:
        UserError: as `risk` does.
    """
    from eidolon.scorers.risk.model_file import load_risk_model

    family = plotted.run.scores().metrics.get(FAMILY)
    if family is None:
        raise NotDrawnError("the run has no risks; --metric risk computes them")
    model = load_risk_model()
    judged = plotted.run.judged()
    if model.unknown([mention.category for _, judgement in judged for mention in judgement.mentions]):
        raise NotDrawnError("the risk model does not know the categories of the run")
    described = [model.describe(*pair) for pair in judged]
    risks = np.concatenate([np.zeros(0), *(model.risk(one)[one.known] for one in described)])
    wrong = np.concatenate([np.zeros(0), *(one.wrong[one.known] for one in described)])
    count = min(MOST_BINS, len(wrong) // LEAST_MENTIONS)
    if count < 2:
        raise NotDrawnError(
            f"{len(wrong)} first mentions have a verdict, and two bins take {2 * LEAST_MENTIONS}"
        )
    scored = family["brier"].value
    if scored is None or abs(brier(risks, wrong).mean() - scored) > SAME:
        raise NotDrawnError(
            "the scores are of another risk model than this version's; score the responses again"
        )
    return reliability(risks, wrong, count)


def _draw(name: str, bins: Sequence[ReliabilityBin], sheet: Sheet) -> "Figure":
    figure = new_figure(sheet, HEIGHT)
    axes = figure.subplots()
    # The limits come from the data: in most runs no mention has a risk near 1.
    top = min(1.0, 1.05 * max(max(one.risk, one.interval[1]) for one in bins))
    axes.plot([0, top], [0, top], color=DIM, lw=0.7, ls="--", label="risk = share that is wrong", zorder=0.5)
    places = [Place(one.risk, one.wrong, one.interval) for one in bins]
    line(axes, places, "bins, 95 % interval", colour=BLUE, dashes="none")
    axes.set_xlim(-0.02 * top, top)
    axes.set_ylim(-0.02 * top, top)
    axes.grid()
    axes.set_xlabel("mean risk, from text alone")
    axes.set_ylabel("share not in the picture")
    return finish(figure, sheet, f"{name}: {_finding(bins)}", notes=[_note(bins)], legend_of=[axes])


def _finding(bins: Sequence[ReliabilityBin]) -> str:
    mentions = sum(one.mentions for one in bins)
    expected = sum(one.mentions * one.risk for one in bins) / mentions
    observed = sum(one.mentions * one.wrong for one in bins) / mentions
    hit = sum(one.interval[0] <= one.risk <= one.interval[1] for one in bins)
    return (
        f"{percent(expected)} of the mentions are expected to be wrong, {percent(observed)} are; "
        f"the risk is in the interval of {hit} of {len(bins)} bins"
    )


def _note(bins: Sequence[ReliabilityBin]) -> str:
    sizes = sorted({one.mentions for one in bins})
    each = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} or {sizes[-1]:,}"
    return (
        f"n = {sum(one.mentions for one in bins):,} first mentions of a category with a verdict, {each} in a bin. "
        "Risk without a history. Exact binomial intervals (Clopper and Pearson), mentions taken as independent."
    )
