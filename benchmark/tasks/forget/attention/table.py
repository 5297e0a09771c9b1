"""Attention on the picture of runs, in one line each."""

from collections.abc import Sequence

from rich.console import Console

from eidolon.benchmark.store.files import ATTENTION
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.forget.attention.detail import AttentionDetail
from eidolon.benchmark.terminal.safe_text import one_line


def show(runs: Sequence[LoadedRun], console: Console) -> None:
    """Print how the attention on the picture changes in each run."""
    for run in runs:
        if not run.has(ATTENTION):
            continue
        found = run.document(ATTENTION, AttentionDetail).found
        text = f"not measured: {found.reason}"
        if found.readout_change.value is not None:
            text = f"read-out of its states: {found.readout_start} at first, {found.readout_change} per 100 tokens"
        elif found.reason is None:
            text = (
                f"mass over even share changes by {found.change} per 100 tokens; "
                f"before wrong names minus before true ones: {found.hallucinated_minus_grounded}"
            )
        console.print(
            f"Attention on the picture, {one_line(run.name)}: {text}", markup=False, highlight=False
        )
