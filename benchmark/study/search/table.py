"""Prints a search: what each method found, the front, the rules and the correlations."""

from rich.console import Console
from rich.table import Table

from eidolon.benchmark.study.search.detail import SearchDetail
from eidolon.benchmark.study.search.rules import Rules

NONE = "-"


def show(detail: SearchDetail, console: Console) -> None:
    """Print the tables."""
    console.print(_methods(detail))
    console.print(_front(detail))
    for line in notes(detail):
        console.print(line, markup=False, highlight=False)


def _methods(detail: SearchDetail) -> Table:
    reference = detail.reference
    table = Table(
        title=f"Fastest at the recall of {reference.architecture.label} ({_number(reference.recall, '.3f')}) less "
        f"{detail.recipe.tolerance:g}, by validation sequences{within(detail)}; recall by test sequences",
        title_justify="left",
    )
    for name in ("method", "found"):
        table.add_column(name)
    for name in ("recall", "ms, estimated", "ms, measured", "latency saved", "measured", "trainings"):
        table.add_column(name, justify="right")
    for row in detail.methods:
        table.add_row(
            row.method,
            NONE if row.found is None else row.found.label,
            _number(row.recall, ".3f"),
            _number(row.ms, ".2f"),
            _number(row.measured_ms, ".2f"),
            _number(row.saved, ".0%"),
            _number(row.measured_saved, ".0%"),
            f"{row.trainings:.1f}",
        )
    return table


def within(detail: SearchDetail) -> str:
    """Return the limit of bytes as a part of a sentence, nothing without one."""
    most = detail.recipe.max_bytes
    return "" if most is None else f", within {most:,} bytes"


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _front(detail: SearchDetail) -> Table:
    table = Table(
        title=f"Pareto front of recall, latency after {detail.recipe.context} tokens, and bytes of memory",
        title_justify="left",
    )
    table.add_column("architecture")
    for name in ("recall", "ms", "bytes", "parameters"):
        table.add_column(name, justify="right")
    for one in detail.front:
        table.add_row(
            one.architecture.label,
            _number(one.recall, ".3f"),
            f"{one.ms:.2f}",
            f"{one.bytes:,.0f}",
            f"{one.parameters:,}",
        )
    return table


def notes(detail: SearchDetail) -> list[str]:
    """Return the lines below the tables."""
    lines = []
    if detail.estimator_error is not None:
        lines.append(
            f"latency estimator: mean error {detail.estimator_error:.1%} on {len(detail.estimator.checked)} unseen "
            f"layouts ({detail.estimator.machine})"
        )
    for candidate in detail.candidates:
        if candidate.predictor_r_squared is not None:
            shown = ", ".join(f"{value:.2f}" for value in candidate.predictor_r_squared)
            why = "" if candidate.not_reported is None else "; its recall is not reported"
            lines.append(f"{candidate.architecture.label}: R² of the predictors by layer: {shown}{why}")
    for one in detail.correlations:
        interval = "" if one.ci is None else f" [{one.ci[0]:.2f}, {one.ci[1]:.2f}]"
        value = "undefined" if one.value is None else f"{one.value:.2f}{interval}"
        lines.append(
            f"rank correlation of {one.score} with trained recall: {value}, {one.architectures} random architectures"
        )
    lines.append(f"rules found: {rules_text(detail.rules_found)}")
    if detail.rules_from is None:
        lines.append("the rows with rules use this search's own rules, so they are no test of the rules")
    else:
        lines.append(f"rules used, from {detail.rules_from}: {rules_text(detail.rules_used)}")
    return lines


def rules_text(rules: Rules) -> str:
    """Return the rules in one line."""
    if not rules.rules:
        return f"none ({rules.found_from} architectures)"
    parts = [f"{rule.feature} {rule.effect:+.2f}" for rule in rules.rules]
    return f"recall {rules.base:.2f}, {', '.join(parts)} ({rules.found_from} architectures)"
