"""A comparison for the terminal: what was compared, a row a quantity, and the findings in words."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.verify.compare import ComparedRun, Comparison
from eidolon.scorers.statistics.comparison import Compared, ComparedFamily

ARROWS = {True: " ↑", False: " ↓", None: ""}
BETTER = {"a_better": "A", "b_better": "B", "no_significant_difference": "neither", None: "-"}


def show(comparison: Comparison, console: Console) -> None:
    """Print the comparison; what is too narrow for the table gets three lines a quantity."""

    def say(line: str, style: str = "") -> None:
        console.print(Text(one_line(line), style=style), soft_wrap=True)

    for letter, run in (("A", comparison.a), ("B", comparison.b)):
        say(f"{letter}: {run.name} ({run.run}), {_left_out(run, 'B' if letter == 'A' else 'A')}")
    for differing in comparison.differs:
        told = " (by --allow)" if differing.allowed_by == "flag" else ""
        say(f"differs: {differing.part}{told}: {differing.a} / {differing.b}")
    compared = f"{comparison.a.compared} responses, {comparison.clusters} {comparison.unit}"
    say(f"B - A on {compared}, 95 % intervals")
    table = _table(comparison)
    # Measured without a limit, which would count as met.
    least = Measurement.get(console, console.options.update(max_width=1000), table).minimum
    narrow = least > console.width
    console.print(_stacked(comparison) if narrow else table)
    for family, values in comparison.metrics.items():
        for name, value in values.quantities().items():
            if value.mcnemar is not None:
                m = value.mcnemar
                say(
                    f"{family}.{name}, McNemar: right in A alone {m.only_a}, in B alone {m.only_b}; "
                    f"p exact {_p(m.exact)}, mid-p {_p(m.mid)}"
                )
    for line in findings(comparison):
        say(line)
    for note in comparison.notes:
        say(note if note.startswith("warning: ") else f"note: {note}", "yellow")
    for line in dict.fromkeys((comparison.a.signature, comparison.b.signature)):
        say("signature: " + line)


def _table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", overflow="fold", min_width=12)
    for title in ("A", "B", "B - A", "p (Holm)", "MDE"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("better", no_wrap=True)
    for family, values in comparison.metrics.items():
        table.add_row(Text(one_line(family), style="bold"))
        for name, value in _defined(values):
            table.add_row(
                Text(f"  {one_line(name)}{ARROWS[value.higher_is_better]}"),
                _figure(value.a),
                _figure(value.b),
                _difference(value),
                _holm(value),
                _figure(value.mde),
                BETTER[value.outcome],
            )
    return table


def _stacked(comparison: Comparison) -> Text:
    """Return the same without columns."""
    lines = []
    for family, values in comparison.metrics.items():
        for name, value in _defined(values):
            lines += [
                f"{one_line(family)}.{one_line(name)}{ARROWS[value.higher_is_better]}",
                f"  {_figure(value.a)} / {_figure(value.b)}, " + _difference(value).replace("\n", "\n  "),
                f"  p {_holm(value)}, MDE {_figure(value.mde)}, better {BETTER[value.outcome]}",
            ]
    return Text("\n".join(lines))


def _defined(values: ComparedFamily) -> Iterator[tuple[str, Compared]]:
    return (
        (name, value)
        for name, value in values.quantities().items()
        if value.a is not None or value.b is not None
    )


def _holm(value: Compared) -> str:
    return "-" if value.p_holm is None else _p(value.p_holm)


def findings(comparison: Comparison) -> Iterator[str]:
    """Say who is better in what; where nothing is found, how much there could have been."""
    named = {
        f"{family}.{name}": value
        for family, values in comparison.metrics.items()
        for name, value in values.quantities().items()
    }
    for outcome, who in (("a_better", "A"), ("b_better", "B")):
        if better := [name for name, value in named.items() if value.outcome == outcome]:
            yield f"{who} is better in {', '.join(better)}."
    if same := [name for name, v in named.items() if v.outcome == "no_significant_difference"]:
        yield (
            f"No significant difference in {', '.join(same)}. Samples like these often miss a true difference "
            "that is smaller than the MDE."
        )
    if torn := [name for name in same if (named[name].p_holm or 0) < comparison.methods.alpha]:
        yield f"In {', '.join(torn)} test and interval disagree: the interval holds 0, so nothing is concluded."
    reasons: dict[str, list[str]] = {}
    for name, value in named.items():
        if value.reason is not None:
            reasons.setdefault(value.reason, []).append(name)
    for reason, names in reasons.items():
        yield f"{', '.join(names)}: {reason}."


def _left_out(run: ComparedRun, other: str) -> str:
    parts = [
        (run.unscored, "unscored"),
        (run.unscored_in_other, f"unscored in {other}"),
        (run.missing_in_other, f"not in {other}"),
    ]
    left = ", ".join(f"{count} {why}" for count, why in parts if count)
    return f"{run.compared} of {run.responses} responses compared" + (f": {left}" if left else "")


def _difference(value: Compared) -> str:
    if value.difference is None:
        return "-"
    if value.ci is None:
        return _figure(value.difference, "+")
    low, high = (_figure(bound, "+") for bound in value.ci)
    return f"{_figure(value.difference, '+')}\n{low} to {high}"


def _figure(value: float | None, sign: str = "") -> str:
    if value is None:
        return "-"
    return format(value, f"{sign}.3f" if abs(value) < 10 else f"{sign}.1f")


def _p(value: float) -> str:
    if value < 0.0001:
        return "<0.0001"
    return f"{value:.4f}" if value < 0.01 else f"{value:.3f}"
