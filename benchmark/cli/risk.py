"""`eidolon risk`: how likely each mention is not in the picture, for pictures without annotations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, print_written, with_examples


@with_examples(
    "eidolon risk results/runs/demo --out risk.jsonl",
    "eidolon risk responses.jsonl --history judged-run --save-history history.json --out risk.jsonl",
    "eidolon risk responses.jsonl --out risk.jsonl --page risk.html",
)
def risk(
    responses: Annotated[
        Path,
        typer.Argument(metavar="RUN|FILE", help="A run folder, or responses with image_id and response."),
    ],
    out: Annotated[Path, typer.Option(help="The JSON lines to write, one for each response.")],
    history: Annotated[
        list[Path] | None,
        typer.Option(
            help="A judged run of the same model, or a file of --save-history. Repeatable, in order."
        ),
    ] = None,
    save_history: Annotated[
        Path | None, typer.Option(help="Keep the history vector in this JSON file.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            help="A page to write, HTML, with each mention shaded by its risk. Look at it in a browser."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Risk model: shipped, or the path of its file.")] = "shipped",
) -> None:
    """Estimate for each mention the probability that it is not in the picture. No picture is read.

    Without --history, nothing is assumed about the model that wrote the responses. Truth in RUN is not used.
    """
    from eidolon.benchmark.run.risk import read_described, read_history, risk_lines, write_history
    from eidolon.benchmark.store.atomic import write_atomically
    from eidolon.benchmark.store.json_lines import to_lines
    from eidolon.benchmark.terminal.progress import busy
    from eidolon.scorers.core.errors import UserError
    from eidolon.scorers.risk.model_file import load_risk_model

    _check_places(responses, history or [], out, save_history, page)
    loaded = load_risk_model(model)
    with busy("reading the responses"):
        vector = read_history(history or [], loaded)
        judged = read_described(responses, loaded)
        lines = risk_lines(loaded, judged, vector)
    if save_history is not None and vector is None:
        raise UserError(f"--save-history {save_history}: there is no history; name judged runs by --history")
    try:
        write_atomically(out, to_lines(lines))
        if save_history is not None and vector is not None:
            write_atomically(save_history, write_history(loaded, vector))
    except OSError as error:
        raise UserError(f"{error.filename or out}: cannot be written ({error.strerror})") from error
    count = sum(len(line.mentions) for line in lines)
    mean = sum(mention.risk for line in lines for mention in line.mentions) / count if count else None
    expected = (
        "none names an object" if mean is None else f"{mean:.1%} of the mentions are expected to be wrong"
    )
    sentence = f"{len(lines)} responses, {count} mentions; {expected}"
    typer.echo(sentence)
    written = [out, *([save_history] if save_history is not None else [])]
    if page is not None:
        from eidolon.benchmark.report.view.page import write
        from eidolon.benchmark.report.view.risk import page_of_risks

        found = write([page_of_risks(responses, judged, lines, f"{sentence}. No truth is used.")], page)
        written += [path for path in (found.page, found.data) if path is not None]
    print_written(make_console(), *written)


def _check_places(
    responses: Path, history: Sequence[Path], out: Path, save_history: Path | None, page: Path | None
) -> None:
    """Refuse a file that would replace an input, a file of a run folder, or another output.

    A history may be kept in the file that it was read from.

    Raises:
        UserError: one of them would.
    """
    from eidolon.benchmark.store.files import RUN
    from eidolon.scorers.core.errors import UserError

    read = {responses.resolve()}
    for flag, path, others in (
        ("--save-history", save_history, read | {out.resolve()}),
        ("--out", out, read | {one.resolve() for one in history}),
        ("--page", page, read | {one.resolve() for one in (*history, out, save_history) if one is not None}),
    ):
        if path is not None and (path.resolve() in others or (path.parent / RUN).is_file()):
            raise UserError(
                f"{flag} {path}: would replace an input, another output or a file of a run; give another place"
            )
