"""Chooses the figures of a command, and writes them as files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eidolon.benchmark.drawing.style import FORMATS, SHEETS, Format, render
from eidolon.benchmark.report.plots import forest, over_text
from eidolon.benchmark.report.plots.answers import FAMILY, answers
from eidolon.benchmark.report.plots.categories import categories
from eidolon.benchmark.report.plots.numbers import numbers
from eidolon.benchmark.report.plots.records import Drawing, PlottedRun, named
from eidolon.benchmark.report.plots.risk import FAMILY as RISK
from eidolon.benchmark.report.plots.risk import risk
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.files import (
    ATTENTION,
    CLOZE,
    INTERVENTIONS,
    KNOWLEDGE,
    ORDERS,
    PDM,
    RETENTION,
    RUN,
)
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.scorers.core.errors import UserError, did_you_mean

SINGLE: dict[str, Callable[[PlottedRun], Drawing]] = {
    "numbers": numbers,
    "position": over_text.position,
    "rivals": over_text.rivals,
    "categories": categories,
    "answers": answers,
    "risk": risk,
    "retention": over_text.retention,
    "dependence": over_text.dependence,
    "orders": over_text.orders,
    "knowledge": over_text.knowledge,
    "cloze": over_text.cloze,
    "interventions": over_text.interventions,
    "attention": over_text.attention,
}
"""Figures of one run by name."""
JOINT: dict[str, Callable[[Sequence[PlottedRun]], Drawing]] = {
    "metrics": forest.metrics,
    "differences": forest.differences,
    "knowledge-held": over_text.knowledge_held,
}
"""Figures of several runs by name."""
NAMES = (*SINGLE, *JOINT)
RIVALS = "rivals.json"
FORGET = "forget"
OBJECTS = ("chair", "objects", "forgetting")
"""Families of runs whose responses are judged for the objects that they name."""


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """The options of `eidolon plot`."""

    width: str = "page"
    figures: tuple[str, ...] = ()
    """Names of the figures. Empty: all that the runs are made for."""
    formats: tuple[Format, ...] = FORMATS


@dataclass(slots=True)
class Plotted:
    """What was written, and what was left out."""

    written: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """By figure, the reason."""


def write(runs: Sequence[LoadedRun], out: Path, options: PlotOptions) -> Plotted:
    """Write the figures of the runs. With several runs, each has its own figures in a folder below.

    Raises:
        UserError: an option has no such value, `out` cannot be written, or no figure can be drawn.
    """
    if options.width not in SHEETS:
        raise UserError(f"--width {options.width}: must be {' or '.join(SHEETS)}")
    for flag, given, known in (("figure", options.figures, NAMES), ("format", options.formats, FORMATS)):
        for name in given:
            if name not in known:
                raise UserError(f"--{flag} {name}: there is none of this name{did_you_mean(name, [*known])}")
    if (out / RUN).exists():
        raise UserError(f"--out {out}: is a run folder, whose files it could replace; give another place")
    plotted = named(runs)
    found = Plotted()
    if len(plotted) > 1:
        for name in _wanted(JOINT, options, _suited_jointly(plotted)):
            _one(name, lambda make=JOINT[name]: make(plotted), out / name, options, found)  # type: ignore[misc]
    for one in plotted:
        folder = out if len(plotted) == 1 else out / one.folder
        for name in _wanted(SINGLE, options, _suited(one)):
            label = name if len(plotted) == 1 else f"{one.folder}/{name}"
            _one(label, lambda make=SINGLE[name], one=one: make(one), folder / name, options, found)  # type: ignore[misc]
    if not found.written:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in found.left_out.items())
        joint = [name for name in options.figures if name in JOINT]
        raise UserError(
            f"{' '.join(str(run.path) for run in runs)}: no figure can be drawn: "
            f"{reasons or f'{joint[0]} takes several runs'}"
        )
    return found


def _wanted(known: Mapping[str, object], options: PlotOptions, suited: Sequence[str]) -> list[str]:
    return [name for name in known if name in (options.figures or suited)]


def _suited_jointly(plotted: Sequence[PlottedRun]) -> list[str]:
    """Return the figures of several runs that these are made for."""
    names = ["metrics", "differences"] if len(plotted) == 2 else ["metrics"]
    return [*names, "knowledge-held"] if any(one.run.has(KNOWLEDGE) for one in plotted) else names


def _suited(plotted: PlottedRun) -> list[str]:
    """Return the figures that the kind of run is made for."""
    run = plotted.run
    families = run.scores().metrics if run.has("scores.json") else {}
    names = ["numbers"]
    if any(family in families for family in OBJECTS) or not families:
        names += ["position", "categories"]
    if FAMILY in families:
        names.append("answers")
    if RISK in families:
        names.append("risk")
    if run.has(RIVALS):
        names.append("rivals")
    for name, file in (("retention", RETENTION), ("dependence", PDM), ("orders", ORDERS)):
        if run.record.config.task == FORGET or run.has(file):
            names.append(name)
    optional = {
        "knowledge": KNOWLEDGE,
        "cloze": CLOZE,
        "interventions": INTERVENTIONS,
        "attention": ATTENTION,
    }
    names += [name for name, file in optional.items() if run.has(file)]
    return names


def _one(label: str, make: Callable[[], Drawing], path: Path, options: PlotOptions, found: Plotted) -> None:
    """Write one figure in every format, or note why it is left out."""
    try:
        draw = make()
        sheet = SHEETS[options.width]
        files = render(lambda: draw(sheet), sheet, options.formats)
    except UserError as error:
        found.left_out[label] = str(error)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for form, content in files.items():
            file = path.with_name(f"{path.name}.{form}")
            write_atomically(file, content)
            found.written.append(file)
    except OSError as error:
        raise UserError(f"--out {path.parent}: cannot be written ({error.strerror})") from error
