"""`eidolon doctor`: does a model answer the same way, whatever else is in its batch?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eidolon.benchmark.cli.common import CHECK_FAILED, check_file, make_console, with_examples
from eidolon.benchmark.cli.options import flags_of, with_settings
from eidolon.benchmark.settings.doctor import DoctorSettings

if TYPE_CHECKING:
    from eidolon.benchmark.store.diagnosis import Diagnosis


@with_examples(
    "eidolon doctor --model scenes-base",
    "eidolon doctor --model vllm/PATH --against transformers/PATH",
    "eidolon doctor --run results/runs/demo/scenes-base",
)
@with_settings(DoctorSettings)
def doctor(
    *,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A run folder, or a folder with one run: examine its model, and keep the verdicts in its run.json.",
            rich_help_panel="Model",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write the verdicts to this JSON file.", rich_help_panel="Output"),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON in place of a table.", rich_help_panel="Output"),
    ] = False,
    **options: Any,
) -> int:
    """Examine a model: batches, padding, precision, caches, image order, determinism, limits, seeds, weights.

    Exit code 3 if a check failed.
    """
    from eidolon.benchmark.settings.load import load_settings
    from eidolon.benchmark.store.loaded import find_run
    from eidolon.benchmark.verify.doctor.diagnosis_store import store, write

    settings = load_settings(DoctorSettings, None, flags_of(DoctorSettings, options)).settings
    if out is not None:
        check_file("--out", out)
    run = None if run is None else find_run(run)
    diagnosis = _examine(settings, run)
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


def _examine(settings: DoctorSettings, run: Path | None) -> "Diagnosis":
    """Examine the model of the settings, or of the run.

    Raises:
        UserError: no model or two are named, or one cannot be examined.
    """
    from eidolon.benchmark.data.datasets import load_dataset
    from eidolon.benchmark.verify.doctor.diagnosis_store import model_of_run
    from eidolon.benchmark.verify.doctor.examine import (
        Examination,
        check_examinable,
        examine,
        resolve_against,
    )
    from eidolon.models.backends.registry import resolve
    from eidolon.scorers.core.errors import UserError

    model, options = settings.model, settings.model_options
    if settings.against is None and settings.against_options:
        raise UserError(f"-A {next(iter(settings.against_options))}: is for the model of --against; name one")
    if run is not None:
        if model is not None or options:
            flag = f"--model {model}" if model is not None else f"-M {next(iter(options))}"
            raise UserError(f"{flag}: --run examines the model of the run; leave it out")
        model, options = model_of_run(run)
    elif model is None:
        raise UserError("--model: name the model to examine, or a run folder by --run")
    reference = resolve(model)
    check_examinable(reference)
    images = load_dataset(
        settings.dataset, limit=2 * settings.samples, seed=settings.seed, options=settings.dataset_options
    )
    against = None if settings.against is None else resolve_against(settings.against)
    what = Examination(
        images, settings.samples, settings.max_new_tokens, settings.seed, against, settings.against_options
    )
    return examine(reference, options, what)
