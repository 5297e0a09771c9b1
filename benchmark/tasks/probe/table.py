"""The answers of a run to yes/no questions as a table: a row for each split and policy, all splits together first."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.settings.fields import ALL
from eidolon.benchmark.tasks.probe.answers import Probe
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Family, Scores

COLUMNS = {
    "accuracy": "accuracy ↑",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "f1": "F1 ↑",
    "yes_rate": "yes rate",
}


def show(runs: Sequence[tuple[str, Probe, Scores]], console: Console) -> None:
    """Print the splits and policies of runs, where there are several, and how many images were asked about."""
    if any(len([*_rows(probe, scores)]) > 1 for _, probe, scores in runs):
        print_table(_table(runs), console)
    for images, left_out in dict.fromkeys((probe.built.images, probe.built.left_out) for _, probe, _ in runs):
        console.print(
            f"asked about: {images} images, {left_out} left out (too few objects, or all there are)"
        )


def _table(runs: Sequence[tuple[str, Probe, Scores]]) -> Table:
    table = Table(title="By split and policy", title_justify="left")
    table.add_column("model", overflow="fold")
    for heading in ("split", "policy"):
        table.add_column(heading)
    for heading in ("n", *COLUMNS.values(), "unparsed"):
        table.add_column(heading, justify="right")
    for name, probe, scores in runs:
        for split, policy, family in _rows(probe, scores):
            values = [family[quantity] for quantity in COLUMNS]
            unread = family["unparsed"]
            table.add_row(
                Text(one_line(name)),
                split,
                policy,
                str(unread.n),
                *map(_cell, values),
                "-" if unread.value is None else str(round(unread.value * (unread.n or 0))),
            )
        table.add_section()
    return table


def _rows(probe: Probe, scores: Scores) -> Iterator[tuple[str, str, Family]]:
    main = {"split": ALL if len(probe.splits) > 1 else probe.splits[0], "policy": probe.policies[0]}
    yield main["split"], main["policy"], scores.metrics["pope"]
    for variant in scores.variants:
        found = main | variant.settings
        if found != main and found.keys() == main.keys():
            yield found["split"], found["policy"], variant.metrics["pope"]


def _cell(value: Estimate) -> str:
    return "-" if value.value is None else f"{value.value:.3f}"
