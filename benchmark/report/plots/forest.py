"""The figures of several runs: `metrics` side by side, and the `differences` of two."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import DotRow, dot_rows, number, rows_height
from eidolon.benchmark.drawing.style import BLUE, CYCLE, DIM, MARKERS, VERMILION, Sheet
from eidolon.benchmark.report.plots.quantities import label_of, unit_of
from eidolon.benchmark.report.plots.records import Drawing, NotDrawnError, PlottedRun
from eidolon.benchmark.report.view.summary import LEADING, MAIN
from eidolon.benchmark.verify.compare import CompareOptions, Comparison, compare
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.statistics.comparison import Compared

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NARROW = 5.0
"""Inches below which the panels are one above the other."""
DIFFERENT = ("dataset", "judge", "prompt", "policy")
"""Parts of the signature that a note names where they differ."""


def metrics(runs: Sequence[PlottedRun]) -> Drawing:
    """Return a panel for each main quantity that all runs have, with a row for each run.

    Raises:
        UserError: a run has no scores, or they have no quantity in common.
    """
    found: list[dict[str, Estimate]] = []
    for plotted in runs:
        scores = plotted.run.scores()
        found.append(
            {
                f"{family}.{name}": estimate
                for family, values in scores.metrics.items()
                for name, estimate in values.quantities().items()
            }
        )
    shared = [key for key in found[0] if all(key in one for one in found)]
    main = [key for keys, _ in LEADING if (key := next((k for k in keys if k in shared), None))][:MAIN]
    main = main or shared[:MAIN]
    if not main:
        raise NotDrawnError("the runs have no quantity in common")
    return lambda sheet: _metrics(runs, {key: [one[key] for one in found] for key in main}, sheet)


def _metrics(runs: Sequence[PlottedRun], panels: dict[str, list[Estimate]], sheet: Sheet) -> "Figure":
    narrow = sheet.inches < NARROW
    columns = 1 if narrow else min(2, len(panels))
    lines = -(-len(panels) // columns)
    inches = (0.34 if narrow else 0.22) * sheet.inches
    rows = {
        key: [
            _run_row(key, plotted, estimate, place)
            for place, (plotted, estimate) in enumerate(zip(runs, estimates, strict=True))
        ]
        for key, estimates in panels.items()
    }
    figure = new_figure(sheet, lines * (rows_height(next(iter(rows.values())), sheet, inches) + 0.5))
    grid = figure.subplots(lines, columns, squeeze=False)
    for place, (key, of_key) in enumerate(rows.items()):
        axes = grid[place // columns][place % columns]
        share = unit_of(key) == "share"
        dot_rows(
            axes, of_key, sheet, label_inches=inches, inside=(0, 1) if share else None,
            labels=place % columns == 0,
        )  # fmt: skip
        axes.set_xlabel(label_of(key.partition(".")[2], panels[key][0].higher_is_better))
    for axes in list(grid.flat)[len(rows) :]:
        axes.remove()
    return finish(figure, sheet, _best(runs, panels), notes=[_sizes(runs, panels), _unlike(runs)])


def _run_row(key: str, plotted: PlottedRun, estimate: Estimate, place: int) -> DotRow:
    text = number(estimate.value, estimate.ci, 3 if unit_of(key) == "share" else 1)
    colour, marker = CYCLE[place % len(CYCLE)], MARKERS[place % len(MARKERS)]
    return DotRow(plotted.name, estimate.value, estimate.ci, text, colour, marker)


def _best(runs: Sequence[PlottedRun], panels: dict[str, list[Estimate]]) -> str:
    """Return which run is best in the first quantity that has a better direction."""
    for key, estimates in panels.items():
        better = estimates[0].higher_is_better
        known = [(e.value, e, r) for e, r in zip(estimates, runs, strict=True) if e.value is not None]
        if better is None or not known:
            continue
        value, estimate, best = (max if better else min)(known, key=lambda one: one[0])
        name = label_of(key.partition(".")[2], None)
        text = f"{best.name} has the best {name}, {number(value, estimate.ci)}"
        close = [
            run.name
            for _, other, run in known
            if run is not best and estimate.ci and other.ci and _touch(estimate.ci, other.ci)
        ]
        if not close:
            return text
        others = f"that of {close[0]}" if len(close) == 1 else f"those of {len(close)} others"
        return f"{text}; the interval overlaps with {others}"
    return "The numbers of the runs side by side"


def _touch(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _sizes(runs: Sequence[PlottedRun], panels: dict[str, list[Estimate]]) -> str:
    counts = [estimate.n or 0 for estimate in next(iter(panels.values()))]
    if len(set(counts)) == 1:
        return f"n = {counts[0]:,} responses each; 95 % intervals. Arrows: the better direction."
    each = ", ".join(f"{run.name} {count:,}" for run, count in zip(runs, counts, strict=True))
    return f"n: {each}; 95 % intervals. Arrows: the better direction."


def _unlike(runs: Sequence[PlottedRun]) -> str:
    """Return a warning where the runs do not measure the same thing."""
    differ = [
        part for part in DIFFERENT if len({str(getattr(plotted.run.signature, part)) for plotted in runs}) > 1
    ]
    return f"The runs differ in {', '.join(differ)}: read the numbers with care." if differ else ""


def differences(runs: Sequence[PlottedRun]) -> Drawing:
    """Return the paired differences of two runs.

    Raises:
        UserError: there are not two runs, or they are not comparable.
    """
    if len(runs) != 2:
        raise NotDrawnError(f"it takes two runs, and there are {len(runs)}")
    found = compare(runs[0].run.path, runs[1].run.path, CompareOptions())
    return lambda sheet: _differences(runs, found, sheet)


def _differences(runs: Sequence[PlottedRun], found: Comparison, sheet: Sheet) -> "Figure":
    quantities = [
        (family, name, value)
        for family, values in found.metrics.items()
        for name, value in values.quantities().items()
        if value.difference is not None
        and not (family == "chair" and name == "recall" and "objects" in found.metrics)
    ]
    if not quantities:
        raise NotDrawnError("no quantity is defined in both runs")
    several = len({family for family, _, _ in quantities}) > 1
    units = list(dict.fromkeys(unit_of(name) for _, name, _ in quantities))
    inches = 0.27 * sheet.inches
    panels = [
        [_difference_row(*one, several=several) for one in quantities if unit_of(one[1]) == unit]
        for unit in units
    ]
    heights = [rows_height(rows, sheet, inches) + 0.42 for rows in panels]
    figure = new_figure(sheet, sum(heights))
    grid = figure.subplots(len(units), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, unit, rows in zip(grid, units, panels, strict=True):
        dot_rows(axes, rows, sheet, label_inches=inches, reference=0)
        axes.set_xlabel(f"difference, {unit}")
    note = (
        f"B - A on {found.clusters:,} {found.unit} of both runs; 95 % paired intervals; p: randomisation test, Holm. "
        "Squares: significant. Arrows: the better direction."
    )
    warned = [note for note in found.notes if note.startswith("warning:")]
    return finish(
        figure,
        sheet,
        _difference_finding(quantities, runs),
        notes=[note, f"A: {runs[0].name}; B: {runs[1].name}", *warned],
    )


def _difference_row(family: str, name: str, value: Compared, *, several: bool) -> DotRow:
    label = label_of(name, value.higher_is_better)
    digits = 3 if unit_of(name) == "share" else 1
    p = (
        ""
        if value.p_holm is None
        else f", p {'< 0.001' if value.p_holm < 0.001 else f'= {value.p_holm:.3f}'}"
    )
    found = value.outcome in ("a_better", "b_better")
    return DotRow(
        f"{family}: {label}" if several else label,
        value.difference,
        value.ci,
        number(value.difference, value.ci, digits, signed=True) + p,
        {"a_better": VERMILION, "b_better": BLUE}.get(value.outcome or "", DIM),
        "s" if found else "o",
    )


def _difference_finding(quantities: Sequence[tuple[str, str, Compared]], runs: Sequence[PlottedRun]) -> str:
    texts = []
    for outcome, run in (("b_better", runs[1]), ("a_better", runs[0])):
        names = dict.fromkeys(label_of(name, None) for _, name, v in quantities if v.outcome == outcome)
        if names:
            texts.append(f"{run.name} is better in {', '.join(names)}")
    tested = [value for _, _, value in quantities if value.p_holm is not None]
    if not texts:
        return f"No difference between {runs[0].name} and {runs[1].name} is significant" + (
            "" if tested else ": none was tested"
        )
    return "; ".join(texts)
