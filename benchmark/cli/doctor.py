"""`eidolon doctor`: does a model answer the same way whatever stands around a request?"""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import CHECK_FAILED, make_console


def doctor(
    model: Annotated[
        str | None, typer.Option(help="backend/name, or a shipped model's name. With --run: the run's own.")
    ] = None,
    model_option: Annotated[
        list[str] | None,
        typer.Option("-M", metavar="KEY=VALUE", help="An option for the model; repeatable."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="transformers/PATH with the same checkpoint: its answers are the right ones.",
        ),
    ] = None,
    against_option: Annotated[
        list[str] | None,
        typer.Option("-A", metavar="KEY=VALUE", help="An option for the model of --against; repeatable."),
    ] = None,
    dataset: Annotated[str, typer.Option(help="Whose images are shown.")] = "scenes",
    dataset_option: Annotated[
        list[str] | None,
        typer.Option("-D", metavar="KEY=VALUE", help="An option of the dataset; repeatable."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Images, and requests in a full batch.")] = 8,
    max_new_tokens: Annotated[int, typer.Option(help="Longest response.")] = 64,
    seed: Annotated[int, typer.Option(help="Of drawn data and of sampling.")] = 0,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A run folder: examine its model, and keep the verdicts in its run.json."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the verdicts to this JSON file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> int:
    """Examine a model: batches, padding, precision, caches, image order, determinism, limits, seeds, weights.

    Exit code 3 if a check failed.
    """
    from eidolon.benchmark.data.datasets import load_dataset
    from eidolon.benchmark.verify.doctor.diagnosis_store import model_of_run, store, write
    from eidolon.benchmark.verify.doctor.examine import (
        Examination,
        check_examinable,
        examine,
        resolve_against,
    )
    from eidolon.models.backends.registry import resolve
    from eidolon.models.base.options import parse_options
    from eidolon.scorers.core.errors import UserError

    for flag, value, least in (
        ("--samples", samples, 2),
        ("--max-new-tokens", max_new_tokens, 1),
        ("--seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{flag} {value}: must be at least {least}")
    if out is not None and not out.parent.is_dir():
        raise UserError(f"--out {out}: cannot be written (no such folder)")
    options = parse_options(model_option or [], "-M")
    against_options = parse_options(against_option or [], "-A")
    if against is None and against_options:
        raise UserError(f"-A {next(iter(against_options))}: is for the model of --against; name one")
    if run is not None:
        if model is not None or options:
            flag = f"--model {model}" if model is not None else f"-M {next(iter(options))}"
            raise UserError(f"{flag}: --run examines the model of the run; leave it out")
        model, options = model_of_run(run)
    elif model is None:
        raise UserError("--model: name the model to examine, or a run folder by --run")
    reference = resolve(model)
    check_examinable(reference)
    what = Examination(
        load_dataset(
            dataset, limit=2 * samples, seed=seed, options=parse_options(dataset_option or [], "-D")
        ),
        samples,
        max_new_tokens,
        seed,
        None if against is None else resolve_against(against),
        against_options,
    )
    diagnosis = examine(reference, options, what)
    if run is not None:
        store(run, diagnosis)
    if out is not None:
        write(diagnosis, out)
    if json:
        typer.echo(diagnosis.to_json(), nl=False)
    else:
        from eidolon.benchmark.verify.doctor.table import show

        show(diagnosis, make_console())
    return CHECK_FAILED if diagnosis.failed else 0
