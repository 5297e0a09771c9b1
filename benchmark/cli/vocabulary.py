"""`eidolon vocabulary`: a vocabulary file for the judges, made from a dataset's annotations."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import with_examples


@with_examples(
    "eidolon vocabulary --annotations instances.json --out mine.json",
)
def vocabulary(
    annotations: Annotated[
        Path, typer.Option(help="An instances JSON as COCO's or Objects365's, or AMBER's annotations.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write, ending in .json.")],
) -> None:
    """Make a vocabulary file of a dataset's categories, for -J lexicon=FILE (judge qa: -J vocabulary=FILE).

    Each category is named by its own words. Look it over: add synonyms, correct odd names.
    """
    import os

    from eidolon.benchmark.data.vocabulary import make_lexicon, read_categories
    from eidolon.benchmark.store.atomic import write_atomically
    from eidolon.scorers.core.errors import UserError

    if out.suffix != ".json":
        raise UserError(f"--out {out}: must end in .json, by which judges know a file from a name")
    if os.path.exists(out):
        raise UserError(f"--out {out}: is there already, and may have been edited; give another name")
    lexicon, notes = make_lexicon(read_categories(annotations), out.stem)
    try:
        write_atomically(out, lexicon.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from error
    for note in notes:
        typer.echo(f"look at: {note}")
    typer.echo(f"written: {out}, {len(lexicon.vocabulary)} categories")
