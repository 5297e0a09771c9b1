"""`eidolon discover`: a vocabulary of what responses name and no category covers."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from eidolon.benchmark.cli.common import with_examples


@with_examples(
    "eidolon discover responses.jsonl --out found.json",
)
def discover(
    responses: Annotated[
        Path,
        typer.Argument(metavar="RUN|FILE", help="A run folder, or responses with image_id and response."),
    ],
    out: Annotated[Path, typer.Option(help="The vocabulary file to write, ending in .json.")],
    lexicon: Annotated[
        str, typer.Option(help="Vocabulary of what is known: a shipped one, or the path of a file.")
    ] = "coco80",
    least: Annotated[int, typer.Option(min=1, help="Leave out nouns with fewer mentions.")] = 5,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A sentence-transformers model, by Hub name or folder; else vectors of context words."
        ),
    ] = None,
    known_by: Annotated[
        Literal["cosine", "nouns", "mentions"],
        typer.Option(
            help="What decides whether a noun is known: the nearest known noun; also other nouns; also the contexts of "
            "mentions.",
        ),
    ] = "cosine",
) -> None:
    """Propose categories for what responses name and no category covers, as a file for -J lexicon=FILE.

    The known categories are not in it. A second file beside it, ending in .evidence.json, has names, counts, examples,
    supercategories and how sure each category is.
    """
    import os

    from eidolon.benchmark.run.risk import read_texts
    from eidolon.benchmark.store.atomic import write_atomically
    from eidolon.benchmark.terminal.progress import busy
    from eidolon.scorers.core.errors import UserError
    from eidolon.scorers.discovery.contexts import read_nouns
    from eidolon.scorers.discovery.proposal import propose
    from eidolon.scorers.judges.noun_readers import TaggedNouns
    from eidolon.scorers.text.lexicon import load_lexicon

    if out.suffix != ".json":
        raise UserError(f"--out {out}: must end in .json, by which judges know a file from a name")
    evidence = out.with_suffix(".evidence.json")
    for path in (out, evidence):
        if os.path.exists(path):
            raise UserError(
                f"--out {out}: {path} exists already, and may have been edited; give another name"
            )
    known = load_lexicon(lexicon)
    embedder = None
    if encoder is not None:
        from eidolon.scorers.judges.embeddings import SentenceEmbedder

        embedder = SentenceEmbedder(encoder, "--encoder ")
    with busy("reading the responses"):
        found = read_nouns(read_texts(responses), TaggedNouns(known), least=least, embedder=embedder)
        proposal = propose(found, known, known_by)
    if not proposal.categories:
        raise UserError(
            f"{responses}: {lexicon} covers every noun with --least {least} mentions; --least 1 takes all nouns"
        )
    try:
        write_atomically(out, proposal.lexicon(out.stem).model_dump_json(indent=1) + "\n")
        write_atomically(evidence, proposal.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from error
    typer.echo(f"written: {out}, {len(proposal.categories)} categories; {evidence}")
