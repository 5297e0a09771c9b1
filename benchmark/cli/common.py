"""What several verbs share."""

from collections.abc import Mapping, Sequence

import typer
from rich.console import Console

TOO_MUCH_UNSCORED = CHECK_FAILED = 3
PLAIN_WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""


def make_console() -> Console:
    """Return the console for results, on stdout."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def split_names(values: list[str] | None) -> tuple[str, ...]:
    """Read a repeatable option of names separated by commas."""
    return tuple(name.strip() for value in values or () for name in value.split(","))


def report_unscored(shares: dict[str, float], allowed: float) -> int:
    """Return the exit code, having said on stderr which runs have more than the allowed share unscored."""
    beyond = {path: share for path, share in shares.items() if share > allowed}
    for path, share in beyond.items():
        typer.echo(
            f"warning: {path}: {share:.1%} of the responses are unscored, more than --max-unscored "
            f"{allowed:g}; judgements.jsonl gives the reasons",
            err=True,
        )
    return TOO_MUCH_UNSCORED if beyond else 0


def report_failed(checks: Mapping[str, Sequence[str]]) -> int:
    """Return the exit code, having said on stderr of which runs the doctor's checks found something."""
    for path, names in checks.items():
        if names:
            typer.echo(
                f"warning: {path}: the doctor's checks failed: {', '.join(names)}; see run.json", err=True
            )
    return CHECK_FAILED if any(checks.values()) else 0
