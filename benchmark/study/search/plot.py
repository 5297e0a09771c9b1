"""Draws `search.png`: the front, trained recall by zero-shot score, and estimated latency by the measured one."""

from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.style import (
    BLUE,
    DIM,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    Sheet,
    png,
)
from eidolon.benchmark.study.search.detail import Candidate, SearchDetail
from eidolon.benchmark.study.search.recipe import Method
from eidolon.benchmark.study.search.table import within

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS: dict[Method, tuple[str, str]] = {
    "multi-shot": (BLUE, "o"),
    "multi-shot with rules": (GREEN, "s"),
    "single-shot": (ORANGE, "D"),
    "zero-shot": (VERMILION, "^"),
    "rules": (PURPLE, "v"),
}
"""Colour and marker of each method."""
SHEET = Sheet(9.5, 8.0, dpi=150)


def draw_search(detail: SearchDetail) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    return png(lambda: search_figure(detail), SHEET)


def search_figure(detail: SearchDetail) -> "Figure":
    """Return the three panels."""
    figure = new_figure(SHEET, 3.3)
    front, scores, costs = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    _front(front, detail)
    _scores(scores, detail)
    _costs(costs, detail)
    recipe = detail.recipe
    note = (
        f"Latency of a decoding step after {recipe.context} tokens, {detail.estimator.machine}. Open markers: "
        f"what each method found. {recipe.recall.steps} training steps, seed {recipe.seed}."
    )
    return finish(figure, SHEET, _finding(detail), notes=[note], legend_of=[front])


def _finding(detail: SearchDetail) -> str:
    found = [(row.saved, row.method) for row in detail.methods if row.saved is not None]
    reference = detail.reference.architecture.label
    if not found:
        return f"No method found an architecture that recalls as much as {reference}{within(detail)}"
    most = max(saved for saved, _ in found)
    best = [method for saved, method in found if saved == most]
    who = f"{best[0]} saves" if len(best) == 1 else f"{len(best)} of {len(detail.methods)} methods save"
    return f"At the recall of {reference}{within(detail)}, {who} {most:.0%} of its latency"


def _front(axes: "Axes", detail: SearchDetail) -> None:
    known = _reported(detail)
    axes.scatter(
        [one.ms for one, _ in known], [recall for _, recall in known], s=9, color=GREY, label="trained"
    )
    recalls = {one.architecture: (one.ms, recall) for one, recall in known}
    best: list[tuple[float, float]] = []  # of recall and latency alone: bytes have no axis
    for one, recall in known:
        if not best or recall > best[-1][1]:
            best.append((one.ms, recall))
    axes.step(
        [ms for ms, _ in best], [recall for _, recall in best], where="post", color=INK, lw=1, label="front"
    )
    for place, row in enumerate(detail.methods):
        if row.found is None:
            continue
        colour, marker = LOOKS[row.method]
        axes.plot(
            *recalls[row.found],
            marker,
            ms=7 + 2.5 * place,
            mfc="none",
            mec=colour,
            mew=1.2,
            label=f"found by {row.method}",
        )
    reference = recalls.get(detail.reference.architecture)
    if reference is not None:
        axes.plot(*reference, "*", ms=10, color=INK, label="reference")
    axes.set(xlabel="estimated ms per token", ylabel="recall after training", ylim=(-0.03, 1.06))
    axes.set_title("recall and latency")


def _reported(detail: SearchDetail) -> list[tuple[Candidate, float]]:
    """Return the candidates with their recall, except those that are not reported."""
    return [(one, one.recall) for one in detail.candidates if one.recall is not None]


def _scores(axes: "Axes", detail: SearchDetail) -> None:
    known = [(one, recall) for one, recall in _reported(detail) if one.architecture in detail.sampled]
    axes.scatter(
        [one.scores.trainability for one, _ in known],
        [recall for _, recall in known],
        s=9,
        color=VERMILION,
    )
    correlation = next(one for one in detail.correlations if one.score == "trainability")
    value = "undefined" if correlation.value is None else f"{correlation.value:.2f}"
    axes.set(xlabel="trainability, untrained", ylim=(-0.03, 1.06))
    axes.set_title(f"random layouts: rank correlation {value}")


def _costs(axes: "Axes", detail: SearchDetail) -> None:
    checked = detail.estimator.checked
    axes.scatter([one.measured_ms for one in checked], [one.ms for one in checked], s=9, color=BLUE)
    longest = max((max(one.ms, one.measured_ms) for one in checked), default=1.0)
    axes.plot([0, longest], [0, longest], color=DIM, lw=0.8)
    axes.set(xlabel="measured ms", ylabel="estimated ms")
    error = "" if detail.estimator_error is None else f": error {detail.estimator_error:.1%}"
    axes.set_title(f"unseen layouts{error}")
