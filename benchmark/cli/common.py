"""What several verbs share."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich.console import Console

from eidolon.benchmark.terminal.safe_text import one_line

if TYPE_CHECKING:
    from eidolon.benchmark.verify.gates import Verdict

TOO_MUCH_UNSCORED = CHECK_FAILED = 3
CONDITION_FAILED = 4
"""Of several exit codes the highest counts: a failed condition before too much unscored. Both are said on stderr."""
PLAIN_WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""

Command = TypeVar("Command", bound=Callable[..., Any])


_EXAMPLES: dict[Callable[..., Any], str] = {}


def with_examples(*commands: str) -> Callable[[Command], Command]:
    """Put example commands at the end of a verb's help."""

    def decorate(command: Command) -> Command:
        _EXAMPLES[command] = "\n\n".join(("Examples:", *commands))
        return command

    return decorate


def examples_of(command: Callable[..., Any]) -> str | None:
    """Return the end of a verb's help, None where it has no examples."""
    return _EXAMPLES.get(command)


def make_console() -> Console:
    """Return the console for results, on stdout. `COLUMNS` sets its width."""
    console = Console()
    if console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return console
    return Console(width=PLAIN_WIDTH)


def check_file(flag: str, path: Path) -> None:
    """Check that a file can be written, before the work whose result it will have.

    Raises:
        UserError: it is a folder, or there is no such folder.
    """
    from eidolon.scorers.core.errors import UserError

    if path.is_dir():
        raise UserError(f"{flag} {path}: cannot be written (it is a folder)")
    if not path.parent.is_dir():
        raise UserError(f"{flag} {path}: cannot be written (no such folder)")


def print_written(console: Console, *paths: Path) -> None:
    """Say which folders and files were written."""
    for path in paths:
        console.print(f"written: {path}", markup=False, emoji=False, highlight=False, soft_wrap=True)


def report_unscored(shares: dict[str, float], allowed: float) -> int:
    """Return the exit code; a warning on stderr names the runs with more than the allowed share unscored."""
    beyond = {path: share for path, share in shares.items() if share > allowed}
    for path, share in beyond.items():
        typer.echo(
            f"warning: {path}: {share:.1%} of the responses are unscored, more than --max-unscored "
            f"{allowed:g}; judgements.jsonl gives the reasons",
            err=True,
        )
    return TOO_MUCH_UNSCORED if beyond else 0


def report_conditions(verdicts: Mapping[str, "Sequence[Verdict]"]) -> int:
    """Return the exit code; say of each run on stdout which conditions are met, and on stderr which are not."""
    for path, found in verdicts.items():
        for verdict in found:
            typer.echo(one_line(f"required: {path}: {verdict}"), err=not verdict.met)
    return CONDITION_FAILED if any(not v.met for found in verdicts.values() for v in found) else 0


def report_failed(checks: Mapping[str, Sequence[str]]) -> int:
    """Return the exit code; a warning on stderr names the runs in which a check of the doctor failed."""
    for path, names in checks.items():
        if names:
            typer.echo(
                f"warning: {path}: the doctor's checks failed: {', '.join(names)}; see run.json", err=True
            )
    return CHECK_FAILED if any(checks.values()) else 0
