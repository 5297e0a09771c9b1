"""Stores a diagnosis in the `run.json` of the run whose model was examined."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eidolon.benchmark.data.samples import SampleSource
from eidolon.benchmark.engine.cache import remembered_digest
from eidolon.benchmark.engine.generation import Generation
from eidolon.benchmark.settings.config import model_of
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.diagnosis import Diagnosis
from eidolon.benchmark.store.folder import check_folder, held_record
from eidolon.benchmark.store.record import first_difference, read_record
from eidolon.benchmark.tasks.protocol import Run
from eidolon.benchmark.verify.doctor.examine import Examination, check_examinable, examine
from eidolon.models.backends.registry import content_hash, resolve
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt


def model_of_run(path: Path) -> tuple[str, dict[str, str]]:
    """Return the name and the options of a run's model.

    Raises:
        UserError: the run has no model, or its files have changed.
    """
    config = read_record(path).config
    model = model_of(config)
    if model is None:
        raise UserError(f"--run {path}: scores existing responses; it has no model to examine")
    if (files := content_hash(resolve(model.name), remembered_digest())) != config.inputs.model_files:
        raise _changed(path, "files", files, config.inputs.model_files)
    return model.name, dict(model.options)


def store(path: Path, diagnosis: Diagnosis) -> None:
    """Write a diagnosis into the `run.json` of a run. Raises UserError if it is about another model than the run's."""
    with held_record(path) as record:
        here = {
            "name": diagnosis.model,
            "options": diagnosis.options,
            "files": diagnosis.model_files,
            "described": diagnosis.described,
        }
        model = model_of(record.config)
        there: dict[str, Any] = {
            "name": model and model.name,
            "options": model and model.options,
            "files": record.config.inputs.model_files,
            "described": diagnosis.described if record.model is None else record.model,
        }
        if difference := first_difference(here, there):
            raise _changed(path, *difference)
        record.provenance.doctor = diagnosis


def _changed(path: Path, field: str, now: object, then: object) -> UserError:
    return UserError(
        f"--run {path}: its model has changed: {field} is {excerpt(now)} and was {excerpt(then)}"
    )


def write(diagnosis: Diagnosis, path: Path) -> None:
    """Write a diagnosis to a file. Raises UserError if it cannot be written."""
    try:
        write_atomically(path, diagnosis.to_json())
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror})") from error


def examine_run(run: Run, generation: Generation, source: SampleSource) -> Diagnosis:
    """Return the diagnosis of a run's model: the one in its folder, or a new one with images of the run."""
    earlier = check_folder(run.path, run.config)
    if earlier is not None and earlier.provenance.doctor is not None:
        return earlier.provenance.doctor
    settings = run.config.run_settings()
    (model,) = settings.models
    what = Examination(source, seed=settings.seed)
    return examine(resolve(model.name), model.options, what, generation.loaded())


def check_all_examinable(runs: Iterable[Run]) -> None:
    """Raise a UserError if the model of any run cannot be examined, before any of them is."""
    for run in runs:
        (model,) = run.config.run_settings().models
        check_examinable(resolve(model.name))
