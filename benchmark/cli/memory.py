"""`eidolon memory`: studies of the memory family, one sub-verb each."""

from pathlib import Path
from typing import Annotated

import typer

memory = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@memory.callback(invoke_without_command=True)
def _memory(context: typer.Context) -> None:
    """Study the memory family: what each memory keeps, and for how long."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@memory.command()
def mqar(
    out: Annotated[Path, typer.Option(help="Folder for mqar.json, mqar.png and the trainings.")],
    layout: Annotated[
        list[str] | None,
        typer.Option(
            help="A memory for every layer (*, SWA, M2, GDN, GKA, BMF, BM), or a layer's after the other: GDN-*. "
            "Repeatable; default: the whole study."
        ),
    ] = None,
    store: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Tokens that a store holds, for layouts with BM. Repeatable."),
    ] = None,
    selection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="innovation|recent|random",
            help="Which tokens a store keeps, for layouts with BM. Repeatable.",
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, help="Of weights and training. Repeatable.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps of each model; default: the study's.")
    ] = None,
    sequences: Annotated[
        int | None, typer.Option(min=2, help="Test sequences of each kind and number of pairs.")
    ] = None,
) -> None:
    """Associative recall: small models learn to name the value that followed a key; how many do they remember?

    The same command again goes on where it stopped; what is finished is not done again.
    """
    from eidolon.benchmark.memory.mqar import run_mqar

    run_mqar(out, layout, store, selection, seed, steps=steps, sequences=sequences)
