"""The plots of the study, one function for each. The same study gives the same bytes."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from eidolon.benchmark.study.memory.records import MemoryStudy, MemoryVariant, RetentionPoint, TextBlock
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.retention.measure import Series
from eidolon.scorers.retention.records import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
COLOURS = {
    "attention": "#222222",
    "swa": "#c0392b",
    "gdn": "#2471a3",
    "bm": "#1e8449",
    "m2": "#8e44ad",
    "gka": "#d68910",
    "bmf": "#58b368",
    "hybrid": "#17a2b8",
    "bm[random]": "#7f8c8d",
    "bm[recent]": "#b9770e",
    "bm(selection=random)": "#34495e",
    "bm(selection=recent)": "#d35400",
}
OTHERS = ("#7f8c8d", "#b9770e", "#6c3483", "#117864", "#943126", "#1a5276")
PlottedMeasure = Literal["retention", "accuracy"]
MARKERS = "osD^vP*X"
PANELS: tuple[tuple[Condition, Series, str], ...] = (
    ("filler", "unnamed", "after filler (primary outcome)"),
    ("own", "unnamed", "after the model's own description"),
    ("other", "unnamed", "after the description of another image"),
    ("filler", "text", "control: a fact stated in text, after filler"),
    ("before", "unnamed", "control: filler before the image"),
)
BANDS = " (bands: 95 % intervals)"
LOWEST, HIGHEST = -0.35, 1.4
"""Range of the retention axis. Intervals may be wider."""
FEWEST = 8
"""Smallest number of images for a point."""
ENTRY_WIDTH = 3.4
"""Inches for an entry of the legend."""


def draw_retention(study: MemoryStudy) -> bytes | None:
    """Draw R(n)/R(0) by condition, with the training length marked. Variants that did not learn to see have thin
    lines."""
    shown = [variant for variant in study.variants if variant.filled_by is None]
    return _conditions(
        study,
        shown,
        "retention",
        "R(n) / R(0), R = 2·accuracy - 1",
        f"Retention of the image after n tokens{BANDS}",
    )


def draw_accuracy(study: MemoryStudy) -> bytes | None:
    """Draw the share of right answers by n, with that directly after the image at 0."""
    shown = [variant for variant in study.variants if variant.filled_by is None]
    return _conditions(study, shown, "accuracy", "share of right answers", f"Accuracy after n tokens{BANDS}")


def draw_stores(study: MemoryStudy) -> bytes | None:
    """Draw retention with stores filled by innovation, at random, and with the latest tokens."""
    shown = [variant for variant in study.variants if "BM" in variant.memory["layout"]]
    if len(shown) < 2:
        return None
    figure, axes = _figure(
        1, f"Retention after filler by the rule of the store{BANDS}", width=7.5, height=5.2
    )
    _panel(axes[0], study, shown, "filler", "unnamed", "retention")
    axes[0].set(
        ylabel="R(n) / R(0)", title="B'MOJO, stores filled by different rules; [rule]: trained by innovation"
    )
    return _finish(figure, axes[0])


def draw_cost(study: MemoryStudy) -> bytes | None:
    """Draw bytes of memory and decoding speed by the length of the text."""
    shown = [variant for variant in study.variants if variant.size is not None]
    if not shown:
        return None
    figure, (size, speed) = _figure(2, "The cost of memory", width=12, height=5)
    for variant in shown:
        assert variant.size is not None
        _line(size, variant, [(n, b / 1024) for n, b in variant.size.bytes_at.items()])
        _line(speed, variant, list(variant.size.tokens_per_second.items()))
    for axes, label, title in (
        (size, "KiB a sequence", "Bytes of memory"),
        (speed, "tokens a second, one sequence", f"Decoding speed ({study.machine})"),
    ):
        axes.set(xlabel="tokens read", ylabel=label, title=title, xscale="log", yscale="log")
        lengths = [*shown[0].size.bytes_at] if shown[0].size else []
        axes.set_xticks(lengths, [str(n) for n in lengths])
        axes.minorticks_off()
        axes.grid(alpha=0.2)
    speed.set_yscale("linear")
    speed.set_ylim(bottom=0)
    return _finish(figure, size)


def draw_position(study: MemoryStudy) -> bytes | None:
    """Draw what changes along a text: hallucinations, the log-probability of names, and the dependence on the image."""
    shown = [variant for variant in study.variants if variant.texts]
    if not shown:
        return None
    figure, (wrong, cost, pdm) = _figure(3, f"By position in the text{BANDS}", width=15, height=5)
    for variant in shown:
        _banded(
            wrong,
            variant,
            [
                (_middle(b.start, b.end, 40), b.hallucinated)
                for b in variant.hallucination
                if b.mentions >= FEWEST
            ],
        )
        blocks = next((text.blocks for text in variant.texts if text.text == "long"), ())
        for axes, pick in ((cost, _name_nats), (pdm, _pdm)):
            found = [
                (_middle(b.start, b.end, 128), pick(b))
                for b in blocks
                if (b.names if axes is cost else b.tokens) >= FEWEST
            ]
            _banded(axes, variant, found)
    wrong.set(xlabel="words before", ylabel="share", title="Hallucinated first mentions, own descriptions")
    cost.set(
        xlabel="tokens before",
        ylabel="nats",
        title="First mentions of present objects, references of 300 to 400 words",
    )
    pdm.set(
        xlabel="tokens before",
        ylabel="Hellinger distance",
        title="Dependence on the image (PDM), same texts",
    )
    trained = max((v.trained_tokens or 0 for v in shown), default=0)
    for axes in (cost, pdm):
        if trained:
            axes.axvspan(trained, axes.get_xlim()[1], color="#000", alpha=0.06, lw=0)
    for axes in (wrong, cost, pdm):
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        axes.grid(alpha=0.2)
    return _finish(figure, wrong)


PLOTS: dict[str, Callable[[MemoryStudy], bytes | None]] = {
    "retention.png": draw_retention,
    "accuracy.png": draw_accuracy,
    "stores.png": draw_stores,
    "cost.png": draw_cost,
    "position.png": draw_position,
}
"""Plots by file name. They return None without data."""


def _conditions(
    study: MemoryStudy, shown: Sequence[MemoryVariant], what: PlottedMeasure, label: str, title: str
) -> bytes | None:
    if not any(variant.retention for variant in shown):
        return None
    figure, axes = _figure(len(PANELS), title, width=15, height=9, rows=2)
    for panel, (condition, series, heading) in zip(axes, PANELS, strict=True):
        _panel(panel, study, shown, condition, series, what)
        panel.set(title=heading, ylabel=label)
    return _finish(figure, axes[0])


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
    for variant in shown:
        points = {p.n: p for p in variant.retention if (p.condition, p.series) == (condition, series)}
        found = [
            (1.0 + lengths.index(n), _of(point, what))
            for n, point in sorted(points.items())
            if point.images >= FEWEST and n in lengths
        ]
        start = variant.yes_no_accuracy if what == "accuracy" and series == "unnamed" else None
        start = Estimate(value=1.0, ci=None) if what == "retention" else start
        if any(number.value is not None for _, number in found):
            _banded(axes, variant, [*([(0.0, start)] if start else []), *found])
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured: no model could answer", ha="center", transform=axes.transAxes)
    axes.set_xticks(range(len(lengths) + 1), ["0", *map(str, lengths)])
    axes.set_xlim(-0.3, len(lengths) + 0.3)
    trained = max((v.trained_tokens or 0 for v in shown), default=0)
    beyond = [place for place, n in enumerate(lengths, 1) if trained and n > trained]
    if beyond:
        axes.axvspan(beyond[0] - 0.5, len(lengths) + 0.3, color="#000", alpha=0.06, lw=0)
        axes.text(
            beyond[0] - 0.45, 0.02, f"beyond training ({trained} tokens)", fontsize=8,
            color="#555", transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    if what == "retention":
        axes.set_ylim(LOWEST, HIGHEST)
        axes.axhline(1, color="#333", lw=0.8, ls="--")
        axes.axhline(0, color="#333", lw=0.8)
    else:
        axes.set_ylim(0.2, 1.02)
        axes.axhline(0.5, color="#333", lw=0.8, ls="--")
    axes.set_xlabel("tokens of text before the question")
    axes.grid(alpha=0.2)


def _of(point: RetentionPoint, what: PlottedMeasure) -> Estimate:
    return point.retention if what == "retention" else point.accuracy


def _name_nats(block: TextBlock) -> Estimate:
    return block.name_nats


def _pdm(block: TextBlock) -> Estimate:
    return block.pdm


def _middle(start: int, end: int | None, width: int) -> float:
    return (start + (end if end is not None else start + width)) / 2


def _banded(axes: "Axes", variant: MemoryVariant, points: Sequence[tuple[float, Estimate]]) -> None:
    known = [(x, number) for x, number in points if number.value is not None]
    _line(axes, variant, [(x, number.value or 0.0) for x, number in known])
    bands = [(x, *number.ci) for x, number in known if number.ci is not None]
    if bands:
        at, low, high = zip(*bands, strict=True)
        axes.fill_between(at, low, high, color=_colour(variant), alpha=0.1, lw=0)


def _line(axes: "Axes", variant: MemoryVariant, points: Sequence[tuple[float, float]]) -> None:
    blind = variant.seeing == "did not learn to see"
    label = f"{variant.variant}, did not learn to see" if blind else variant.variant
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=_colour(variant),
        ls=":" if blind else "--" if variant.filled_by else "-",
        marker=_marker(variant),
        ms=4,
        lw=1.0 if blind else 1.7,
        alpha=0.6 if blind else 1.0,
        label=f"{label} ({len(variant.checkpoints)} seed{'s' if len(variant.checkpoints) > 1 else ''})",
    )


def _colour(variant: MemoryVariant) -> str:
    return COLOURS.get(variant.variant) or OTHERS[sum(variant.variant.encode()) % len(OTHERS)]


def _marker(variant: MemoryVariant) -> str:
    names = [*COLOURS]
    place = names.index(variant.variant) if variant.variant in names else sum(variant.variant.encode())
    return MARKERS[place % len(MARKERS)]


def _figure(
    panels: int, title: str, *, width: float, height: float, rows: int = 1
) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    columns = -(-panels // rows)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(panels)]
    figure.suptitle(title, fontsize=13)
    return figure, axes


def _finish(figure: "Figure", axes: "Axes") -> bytes:
    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, int(figure.get_figwidth() / ENTRY_WIDTH))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()
