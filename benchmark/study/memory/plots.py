"""The plots of the study, one function for each. The same study gives the same bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.style import CYCLE, DIM, INK, MARKERS, Sheet, png, short
from eidolon.benchmark.study.memory.findings import (
    BLIND,
    FEWEST,
    PlottedMeasure,
    cost_finding,
    finding,
    position_finding,
    value_of,
)
from eidolon.benchmark.study.memory.records import MemoryStudy, MemoryVariant, TextBlock
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.retention.measure import Series
from eidolon.scorers.retention.records import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHEET = Sheet(9.5, 8.0, dpi=150)
PANELS: tuple[tuple[Condition, Series, str], ...] = (
    ("filler", "unnamed", "after filler (primary outcome)"),
    ("words", "unnamed", "after random words"),
    ("own", "unnamed", "after the model's own description"),
    ("other", "unnamed", "after the description of another image"),
    ("filler", "text", "control: a fact stated in text, after filler"),
    ("before", "unnamed", "control: filler before the image"),
)
BANDS = "Bands: 95 % intervals."
PANEL = 2.4
"""Height of a row of panels, in inches."""
LOWEST, HIGHEST = -0.35, 1.4
"""Range of the retention axis. Intervals may be wider."""


@dataclass(frozen=True, slots=True)
class _Looks:
    """How each variant of a study is drawn: the same in all of its plots."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, study: MemoryStudy) -> "_Looks":
        """Return the looks of the variants. Those with other rules come last, so that the others have colours of their
        own as long as there are enough."""
        ordered = sorted(study.variants, key=lambda variant: variant.filled_by is not None)
        return cls(tuple(dict.fromkeys(variant.variant for variant in ordered)))

    def colour(self, variant: MemoryVariant) -> str:
        return CYCLE[self.names.index(variant.variant) % len(CYCLE)]

    def marker(self, variant: MemoryVariant) -> str:
        place = self.names.index(variant.variant)
        return MARKERS[(place + place // len(CYCLE)) % len(MARKERS)]


def draw_retention(study: MemoryStudy) -> bytes | None:
    """Draw R(n)/R(0) by condition, with the training length marked. Variants that did not learn to see have thin
    lines."""
    return _conditions(study, "retention", "R(n) / R(0)", "R = 2·accuracy - 1; 0 is chance.")


def draw_accuracy(study: MemoryStudy) -> bytes | None:
    """Draw the share of right answers by n, with that directly after the image at 0."""
    return _conditions(study, "accuracy", "right answers, share", "0.5 is chance.")


def draw_stores(study: MemoryStudy) -> bytes | None:
    """Draw retention with stores filled by innovation, at random, and with the latest tokens, on the same models."""
    stored = [variant for variant in study.variants if "BM" in variant.memory["layout"]]
    same = {_models(variant) for variant in stored if variant.filled_by is not None}
    shown = [variant for variant in stored if not same or _models(variant) in same]
    if len(shown) < 2:
        return None

    def draw() -> "Figure":
        figure = new_figure(SHEET, 1.4 * PANEL)
        axes = figure.subplots()
        _panel(axes, study, shown, "filler", "unnamed", "retention")
        _limit([axes], "retention")
        axes.set(ylabel="R(n) / R(0)")
        return finish(
            figure,
            SHEET,
            finding(
                study, shown, "retention", "of the stores of B'MOJO, {best} keeps most and {worst} least"
            ),
            notes=[
                "Retention after filler by the rule that fills the store; [rule]: the same models, all trained by "
                f"innovation. {_note(study)}"
            ],
            legend_of=[axes],
        )

    return png(draw, SHEET)


def _models(variant: MemoryVariant) -> frozenset[str]:
    return frozenset(one.sha256 for one in variant.checkpoints)


def draw_cost(study: MemoryStudy) -> bytes | None:
    """Draw bytes of memory and decoding speed by the length of the text."""
    shown = [variant for variant in study.variants if variant.size is not None]
    if not shown:
        return None
    looks = _Looks.of(study)

    def draw() -> "Figure":
        figure = new_figure(SHEET, 1.2 * PANEL)
        size, speed = figure.subplots(1, 2)
        for variant in shown:
            assert variant.size is not None
            _line(size, looks, variant, [(n, b / 1024) for n, b in variant.size.bytes_at.items()])
            _line(speed, looks, variant, list(variant.size.tokens_per_second.items()))
        lengths = [*shown[0].size.bytes_at] if shown[0].size else []
        for axes, label in ((size, "KiB a sequence"), (speed, "tokens a second, one sequence")):
            axes.set(xlabel="tokens read", ylabel=label, xscale="log", yscale="log")
            axes.set_xticks(lengths, [str(n) for n in lengths])
            axes.minorticks_off()
            axes.grid()
        speed.set_yscale("linear")
        speed.set_ylim(bottom=0)
        return finish(
            figure, SHEET, cost_finding(shown), notes=[f"Speed: {study.machine}."], legend_of=[size]
        )

    return png(draw, SHEET)


def draw_position(study: MemoryStudy) -> bytes | None:
    """Draw what changes along a text: hallucinations, the log-probability of names, and the dependence on the image."""
    shown = [variant for variant in study.variants if variant.texts]
    return png(lambda: _position(study, shown), SHEET) if shown else None


def _position(study: MemoryStudy, shown: Sequence[MemoryVariant]) -> "Figure":
    looks = _Looks.of(study)
    figure = new_figure(SHEET, 1.3 * PANEL)
    wrong, cost, pdm = figure.subplots(1, 3)
    for variant in shown:
        own = [
            (_middle(b.start, b.end, 40), b.hallucinated)
            for b in variant.hallucination
            if b.mentions >= FEWEST
        ]
        _banded(wrong, looks, variant, own)
        blocks = next((text.blocks for text in variant.texts if text.text == "long"), ())
        for axes, pick in ((cost, _name_nats), (pdm, _pdm)):
            found = [
                (_middle(b.start, b.end, 128), pick(b))
                for b in blocks
                if (b.names if axes is cost else b.tokens) >= FEWEST
            ]
            _banded(axes, looks, variant, found)
    wrong.set(xlabel="words before", ylabel="share", title="Hallucinated first mentions,\nown descriptions")
    cost.set(xlabel="tokens before", ylabel="nats", title="First mentions of present objects,\nreferences")
    pdm.set(
        xlabel="tokens before",
        ylabel="Hellinger distance",
        title="Dependence on the image (PDM),\nreferences",
    )
    trained = max((v.trained_tokens or 0 for v in shown), default=0)
    for axes in (cost, pdm):
        end = axes.get_xlim()[1]
        if trained and trained < end:
            axes.axvspan(trained, end, color=INK, alpha=0.07, lw=0)
            axes.set_xlim(right=end)
    for axes in (wrong, cost, pdm):
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        axes.grid(axis="y")
    return finish(
        figure,
        SHEET,
        position_finding(shown),
        notes=[
            f"References have {study.settings.long_words[0]} to {study.settings.long_words[1]} words. {_note(study)}"
        ],
        legend_of=[wrong, cost, pdm],
    )


PLOTS: dict[str, Callable[[MemoryStudy], bytes | None]] = {
    "retention.png": draw_retention,
    "accuracy.png": draw_accuracy,
    "stores.png": draw_stores,
    "cost.png": draw_cost,
    "position.png": draw_position,
}
"""Plots by file name. They return None without data."""


def _conditions(study: MemoryStudy, what: PlottedMeasure, label: str, note: str) -> bytes | None:
    shown = [variant for variant in study.variants if variant.filled_by is None]
    if not any(variant.retention for variant in shown):
        return None
    panels = [panel for panel in PANELS if _has(study, shown, panel[0], panel[1], what)]
    asked = {(point.condition, point.series) for variant in shown for point in variant.retention}
    missing = [panel[2] for panel in PANELS if panel not in panels and panel[:2] in asked]

    def draw() -> "Figure":
        columns = 2 if len(panels) in (2, 4) else 3 if panels[1:] else 1
        rows = max(-(-len(panels) // columns), 1)
        figure = new_figure(SHEET, PANEL * rows)
        grid = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
        for axes, (condition, series, heading) in zip(grid, panels, strict=False):
            _panel(axes, study, shown, condition, series, what)
            axes.set_title(heading)
        if panels:
            _limit(grid[: len(panels)], what)
        for axes in grid[::columns]:
            axes.set_ylabel(label)
        for axes in grid[len(panels) :]:
            axes.remove()
        absent = f" Not measured, because no model could answer: {'; '.join(missing)}." if missing else ""
        keeps = "keeps most of the image" if what == "retention" else "answers best"
        title = finding(
            study, shown, what, f"{{best}} {keeps}, {{worst}} {'least' if what == 'retention' else 'worst'}"
        )
        return finish(
            figure, SHEET, title, notes=[f"{note} {_note(study)}{absent}"], legend_of=grid[: len(panels)]
        )

    return png(draw, SHEET)


def _note(study: MemoryStudy) -> str:
    trained = max((v.trained_tokens or 0 for v in study.variants), default=0)
    beyond = f" Grey: texts longer than the {trained} tokens of training." if trained else ""
    return f"n = {study.settings.limit} images. {BANDS}{beyond} Points of fewer than {FEWEST} are left out."


def _has(
    study: MemoryStudy,
    shown: Sequence[MemoryVariant],
    condition: Condition,
    series: Series,
    what: PlottedMeasure,
) -> bool:
    return any(
        value_of(point, what).value is not None
        for variant in shown
        for point in variant.retention
        if (point.condition, point.series) == (condition, series)
        and point.images >= FEWEST
        and point.n in study.settings.lengths
    )


def _panel(
    axes: "Axes",
    study: MemoryStudy,
    shown: Sequence[MemoryVariant],
    condition: Condition,
    series: Series,
    what: PlottedMeasure,
) -> None:
    """Draw one condition by n, evenly spaced. Lengths beyond those of the training are on grey."""
    lengths = study.settings.lengths
    looks = _Looks.of(study)
    for variant in shown:
        points = {p.n: p for p in variant.retention if (p.condition, p.series) == (condition, series)}
        found = [
            (1.0 + lengths.index(n), value_of(point, what))
            for n, point in sorted(points.items())
            if point.images >= FEWEST and n in lengths
        ]
        start = variant.yes_no_accuracy if what == "accuracy" and series == "unnamed" else None
        start = Estimate(value=1.0, ci=None) if what == "retention" else start
        if any(estimate.value is not None for _, estimate in found):
            _banded(axes, looks, variant, [*([(0.0, start)] if start else []), *found])
    axes.set_xticks(range(len(lengths) + 1), ["0", *map(str, lengths)])
    axes.set_xlim(-0.3, len(lengths) + 0.3)
    trained = max((v.trained_tokens or 0 for v in shown), default=0)
    beyond = [place for place, n in enumerate(lengths, 1) if trained and n > trained]
    if beyond:
        axes.axvspan(beyond[0] - 0.5, len(lengths) + 0.3, color=INK, alpha=0.07, lw=0)
    axes.set_xlabel("tokens of text before the question")
    axes.grid(axis="y")


def _limit(panels: Sequence["Axes"], what: PlottedMeasure) -> None:
    """Set the range of the panels' common axis once all are drawn, with lines at chance and at what was at first."""
    low, high = panels[0].get_ylim()
    if what == "retention":
        low, high = max(low, LOWEST), min(high, HIGHEST)
        marked = [1.0, *([0.0] if low < 0.1 else [])]
    else:
        low, high, marked = max(low, 0.2), min(high, 1.02), [0.5]
    for axes in panels:
        axes.set_ylim(low, high)
        for place in marked:
            axes.axhline(place, color=DIM, lw=0.7, ls="--" if place else "-")


def _name_nats(block: TextBlock) -> Estimate:
    return block.name_nats


def _pdm(block: TextBlock) -> Estimate:
    return block.pdm


def _middle(start: int, end: int | None, width: int) -> float:
    return (start + (end if end is not None else start + width)) / 2


def _banded(
    axes: "Axes", looks: _Looks, variant: MemoryVariant, points: Sequence[tuple[float, Estimate]]
) -> None:
    known = [(x, estimate) for x, estimate in points if estimate.value is not None]
    _line(axes, looks, variant, [(x, estimate.value or 0.0) for x, estimate in known])
    bands = [(x, *estimate.ci) for x, estimate in known if estimate.ci is not None]
    if bands:
        at, low, high = zip(*bands, strict=True)
        axes.fill_between(at, low, high, color=looks.colour(variant), alpha=0.1, lw=0)


def _line(axes: "Axes", looks: _Looks, variant: MemoryVariant, points: Sequence[tuple[float, float]]) -> None:
    if not points:
        return
    blind = variant.seeing == BLIND
    label = f"{short(variant.variant)}, {BLIND}" if blind else short(variant.variant)
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=looks.colour(variant),
        ls=":" if blind else "--" if variant.filled_by else "-",
        marker=looks.marker(variant),
        ms=3.5,
        lw=0.9 if blind else 1.4,
        alpha=0.65 if blind else 1.0,
        label=f"{label} ({len(variant.checkpoints)} seed{'s' if len(variant.checkpoints) > 1 else ''})",
    )
