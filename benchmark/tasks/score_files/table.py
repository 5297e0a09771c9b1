"""The scores of one run as a table: a row a quantity, a column for the main reading and each variant."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Family, Scores


def show(scores: Scores, title: str, main: str, console: Console) -> None:
    """Print all values with their intervals, the number of samples, and the signature."""
    columns = {main: scores.metrics} | {variant.label: variant.metrics for variant in scores.variants}
    n, clusters = scores.n, scores.intervals.clusters if scores.intervals else 0
    count = f"{n.scored}" if n.scored == n.requested else f"{n.scored} of {n.requested}"
    table = Table(
        title=Text(f"{one_line(title)}, n = {count}, {clusters} clusters, 95 % intervals", "table.title"),
        title_justify="left",
    )
    table.add_column("", overflow="fold")
    for label in columns:
        table.add_column(Text(one_line(label)), justify="right")
    for family, name in _names(scores.metrics):
        cells = [_cell(metrics, family, name) for metrics in columns.values()]
        if any(cell != "-" for cell in cells):
            heading = one_line(f"{family}.{name} {_arrow(_find(scores.metrics, family, name))}")
            table.add_row(Text(heading), *cells)
    print_table(table, console)
    console.print(Text("signature: " + one_line(scores.signature)), soft_wrap=True)


def _names(metrics: Mapping[str, Family]) -> list[tuple[str, str]]:
    return [(family, name) for family, scored in metrics.items() for name in scored.__pydantic_extra__ or {}]


def _find(metrics: Mapping[str, Family], family: str, name: str) -> Estimate | None:
    return (metrics[family].__pydantic_extra__ or {}).get(name) if family in metrics else None


def _cell(metrics: Mapping[str, Family], family: str, name: str) -> str:
    value = _find(metrics, family, name)
    if value is None or value.value is None:
        return "-"
    if value.ci is None:
        return f"{value.value:.3f}"
    low, high = (f"{bound:.3f}".removeprefix("0") for bound in value.ci)
    return f"{value.value:.3f}  {low}-{high}"


def _arrow(value: Estimate | None) -> str:
    return (
        {True: "↑", False: "↓"}.get(value.higher_is_better, "")
        if value and value.higher_is_better is not None
        else ""
    )
