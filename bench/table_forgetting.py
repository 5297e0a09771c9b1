"""Prints what `eidolon run --task forget` found in several runs as Markdown tables, and draws it side by side.

    eidolon run --task forget --model memory/bm --limit 120 --lengths 16,64 --out runs/memory-bm
    python bench/table_forgetting.py runs/*/* --figure family.png --json family.json

Reads `scores.json`, `knowledge.json`, `cloze.json` and `interventions.json` of each run folder, or what `--json` wrote
from them. The figure has the odds
ratio of position with knowledge held and not held, the change of the cloze, and the effect of a second look at the
picture, late minus early.
"""

import argparse
from collections.abc import Callable, Sequence
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import DotRow, dot_rows, rows_height
from eidolon.benchmark.drawing.style import GREY, INK, SCREEN, Sheet, png
from eidolon.benchmark.store.files import CLOZE, INTERVENTIONS, KNOWLEDGE
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.forget.cloze.detail import ClozeDetail
from eidolon.benchmark.tasks.forget.interventions.detail import InterventionsDetail
from eidolon.benchmark.tasks.forget.knowledge.detail import KnowledgeDetail
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.cloze import ClozeSummary
from eidolon.scorers.forgetting.interventions import Effect, InterventionsSummary
from eidolon.scorers.forgetting.knowledge import KnowledgeSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN = "adjusted_odds_ratio_per_100_words"
"""The late-minus-early odds ratio: salience not held."""


class Found(Record):
    """The results of one run."""

    name: str
    images: int
    plain: Estimate
    knowledge: KnowledgeSummary
    cloze: ClozeSummary
    changed: InterventionsSummary


FOUND = TypeAdapter(list[Found])


def read(path: Path) -> list[Found]:
    """Return the results in a run folder, or in a file that `--json` wrote.

    Raises:
        UserError: there is neither, or the run lacks one of the results.
    """
    if path.is_file():
        try:
            return FOUND.validate_json(path.read_bytes())
        except ValidationError as error:
            raise UserError(f"{path}: is no file that --json wrote: {error.errors()[0]['msg']}") from error
    run = LoadedRun(path)
    scores = run.scores()
    if PLAIN not in scores.metrics.get("forgetting", {}):
        raise UserError(f"{path}: is no run of --task forget")
    return [
        Found(
            name=run.name,
            images=scores.n.samples,
            plain=scores.metrics["forgetting"][PLAIN],
            knowledge=run.document(KNOWLEDGE, KnowledgeDetail).found,
            cloze=run.document(CLOZE, ClozeDetail).found,
            changed=run.document(INTERVENTIONS, InterventionsDetail).found,
        )
    ]


def odds(number: Estimate) -> str:
    """Return an odds ratio with its interval, two digits."""
    if number.value is None:
        return "-"
    shown = [_short(value) for value in (number.value, *(number.ci or ()))]
    return shown[0] if number.ci is None else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _short(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.15g}".replace("-", "\N{MINUS SIGN}")


def plain(number: Estimate | None, sign: str = "") -> str:
    """Return a number with its interval, two decimals."""
    if number is None or number.value is None:
        return "-"
    if number.ci is None:
        text = f"{number.value:{sign}.2f}"
    else:
        text = f"{number.value:{sign}.2f} [{number.ci[0]:{sign}.2f}, {number.ci[1]:{sign}.2f}]"
    return text.replace("-", "\N{MINUS SIGN}")


def position_table(runs: Sequence[Found]) -> list[str]:
    """Return the rows of position with salience not held, knowledge not held and held."""
    heads = (
        "model", "images", "wrong first mentions", "late minus early, salience not held", "knowledge not held",
        "**given knowledge**", "g", "finding",
    )  # fmt: skip
    rows = [
        (
            f"`{one.name}`",
            str(one.images),
            f"{one.knowledge.hallucinated} of {one.knowledge.mentions}",
            odds(one.plain),
            odds(one.knowledge.plain),
            odds(one.knowledge.position_given_knowledge),
            odds(one.knowledge.knowledge),
            one.knowledge.verdict,
        )
        for one in runs
    ]
    return markdown(heads, rows)


def cloze_table(runs: Sequence[Found]) -> list[str]:
    """Return the rows of the cloze: kept by length, and the change."""
    lengths = sorted({point.n for one in runs for point in one.cloze.points})
    heads = (
        "model", *(f"kept after {n}" for n in lengths), "images", "nats per 100 tokens", "finding",
    )  # fmt: skip
    rows = []
    for one in runs:
        at = {point.n: point for point in one.cloze.points}
        kept = [plain(at[n].kept) if n in at else "-" for n in lengths]
        images = ", ".join(str(at[n].images) if n in at else "0" for n in lengths)
        rows.append((f"`{one.name}`", *kept, images, plain(one.cloze.change, "+"), one.cloze.verdict))
    return markdown(heads, rows)


def effects_table(runs: Sequence[Found]) -> list[str]:
    """Return the rows of the interventions: differences of the share of wrong mentions, and of what is named."""
    times = sorted({one.at for run in runs for one in run.changed.effects if one.at is not None})
    first, last = times[0], times[-1]
    columns: list[tuple[str, Effect, int | None, str]] = [
        (f"second look, {first}", "reminder", first, "rate"),
        (f"second look, {last}", "reminder", last, "rate"),
        ("**second look, late minus early**", "reminder", None, "rate"),
        (f"own picture minus another, named, {first}", "picture", first, "recall"),
        (f"the same, {last}", "picture", last, "recall"),
        (f"planted, {first}", "planted", first, "rate"),
        (f"own text, {first}", "own text", first, "rate"),
    ]
    rows = []
    for one in runs:
        cells = []
        for _, effect, at, quantity in columns:
            found = one.changed.effect(effect, at)
            cells.append(plain(None if found is None else getattr(found, quantity), "+"))
        both = one.changed.effect("reminder", None)
        images = 0 if both is None else both.images
        rows.append((f"`{one.name}`", str(images), *cells, one.changed.verdict))
    return markdown(("model", "images with both", *(name for name, *_ in columns), "finding"), rows)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def family_figure(runs: Sequence[Found], sheet: Sheet) -> "Figure":
    """Return three panels with a row or two for each run."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    inches = 0.17 * sheet.inches
    position = [
        _log_row(f"{one.name.removeprefix('memory/')}" if colour == INK else "", number, colour)
        for one in runs
        for number, colour in (
            (one.knowledge.position_given_knowledge, INK),
            (one.knowledge.plain, GREY),
        )
    ]

    def spread(number: Callable[[Found], Estimate | None]) -> list[DotRow]:
        """Return a row for each run, and an empty one, so that the panels are aligned."""
        rows = []
        for one in runs:
            found = number(one)
            known = found is not None and found.value is not None
            rows += [
                DotRow("", found.value, found.ci, "", INK) if found and known else DotRow("", None),
                DotRow("", None),
            ]
        return rows

    def second_look(one: Found) -> Estimate | None:
        effect = one.changed.effect("reminder", None)
        return None if effect is None else effect.rate

    panels = (position, spread(lambda one: one.cloze.change), spread(second_look))
    figure = new_figure(sheet, 0.55 * rows_height(position, sheet, inches) + 0.7)
    axes = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
    for place, (panel, rows) in enumerate(zip(axes, panels, strict=True)):
        dot_rows(panel, rows, sheet, label_inches=inches, reference=0, labels=place == 0)
    ticks = (0.1, 1, 10, 100, 1000)
    axes[0].xaxis.set_major_locator(FixedLocator([log10(value) for value in ticks]))
    axes[0].xaxis.set_major_formatter(FuncFormatter(lambda exponent, _: f"{10**exponent:g}"))
    axes[0].set_title("Position, odds ratio\nper 100 words")
    axes[1].set_title("Cloze: true minus absent\nnames, nats per 100 tokens")
    axes[2].set_title("Second look: wrong\nmentions, late minus early")
    falls = [one.name.removeprefix("memory/") for one in runs if one.cloze.verdict == "falls"]
    helps = [
        one.name.removeprefix("memory/")
        for one in runs
        if one.changed.verdict == "a second look helps more later"
    ]
    return finish(
        figure,
        sheet,
        f"The cloze falls in {', '.join(falls) or 'none'}; a second look helps more later in "
        f"{', '.join(helps) or 'none'}",
        notes=[
            "95 % intervals. Position: black with knowledge held, grey not held. Forgetting would be right of 1 at "
            "the left, and left of 0 in the middle and at the right."
        ],
    )


def _log_row(label: str, number: Estimate, colour: str) -> DotRow:
    if number.value is None or number.ci is None:
        return DotRow(label, None)
    low, high = (log10(bound) for bound in number.ci)
    return DotRow(label, log10(number.value), (low, high), "", colour)


def main() -> None:
    """Print the tables, and write the figure and the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path, help="write the results of all runs to this file")
    given = parser.parse_args()
    try:
        runs = [one for path in given.runs for one in read(path)]
    except UserError as error:
        parser.error(str(error))
    for table in (position_table(runs), cloze_table(runs), effects_table(runs)):
        print("\n".join(table), end="\n\n")
    if given.figure is not None:
        given.figure.write_bytes(png(lambda: family_figure(runs, SCREEN)))
    if given.json is not None:
        given.json.write_bytes(FOUND.dump_json(runs, indent=1) + b"\n")


if __name__ == "__main__":
    main()
