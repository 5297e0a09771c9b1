"""`eidolon probes`: learn which absent objects models invent, for `--split learned=FILE`."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, print_written, with_examples


@with_examples(
    "eidolon probes results/runs/demo --out probes.json",
    "eidolon probes judged-a judged-b --hold-out test-images.txt --out probes.json",
)
def probes(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Judged run folders with truth.")],
    out: Annotated[Path, typer.Option(help="The file to write, for --split learned=FILE.")],
    hold_out: Annotated[
        Path | None,
        typer.Option(help="File of image ids, one a line. Nothing of these images is learned from."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the training.")] = 0,
    contrast: Annotated[
        bool, typer.Option("--contrast/--no-contrast", help="Train with the contrastive loss.")
    ] = True,
) -> None:
    """Learn from judged runs which absent objects models invent, as a file for eidolon run --split learned=FILE.

    A small graph network is trained on a CPU. Hold out the images that you will ask about.
    """
    from eidolon.benchmark.store.atomic import write_atomically
    from eidolon.benchmark.store.files import RUN
    from eidolon.benchmark.terminal.progress import busy
    from eidolon.scorers.core.errors import UserError

    read = {path.resolve() for path in (*runs, *([hold_out] if hold_out else []))}
    if out.resolve() in read or (out.parent / RUN).is_file():
        raise UserError(f"--out {out}: would replace an input or a file of a run; give another place")
    from eidolon.benchmark.run.probes import probe_text, read_held_out, read_images

    with busy("learning the probes"):
        images = read_images(runs, read_held_out(hold_out) if hold_out else frozenset())
        text, inventions = probe_text(images, seed=seed, contrast=contrast)
    try:
        write_atomically(out, text)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from error
    typer.echo(f"{len(images)} images, {inventions} inventions")
    print_written(make_console(), out)
