"""`eidolon memory study`: trains the models of the second study, one after the other.

`WORK/MODEL/` is a training and its checkpoint, `OUT/MODEL.json` the record of a finished one. The same command again
continues; finished models are not trained again.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from eidolon.benchmark.scenes.memory_training import MemoryRecipe
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.study.memory.study_models import StudyModel, StudyVariant, study_variants
from eidolon.benchmark.study.training.evaluation import Evaluation
from eidolon.models.memory.innovation import refusal
from eidolon.scorers.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from eidolon.benchmark.study.training.memory import TrainedMemory

BATCHES = "batches"
"""The folder of the batches that all models share."""


OTHER_RATES = "other-rates"
"""The folder of the trainings of the sweep that were not the best."""


class StudyRecord(BaseModel):
    """One trained model of the study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: str
    seed: int
    learning_rate: float
    recipe: MemoryRecipe
    parameters: int
    loss: float
    """Mean language loss of the last 100 steps, in nats. Samples do not repeat, so that it compares rates."""
    seconds: float
    evaluation: Evaluation
    predictor_r_squared: tuple[float, ...] | None
    """R² of the predictor of each layer with a store, over the evaluation. Null without a store."""
    not_reported: str | None
    """The reason why results of the model are not reported."""


def run_study(out: Path, work: Path, only: Sequence[str] = (), *, scenes: int = 300) -> list[str]:
    """Train what has no record yet, and return the names of the models that still have none.

    Args:
        out: Folder of the records.
        work: Folder of the trainings.
        only: Names of variants; none for all.
        scenes: Held-out scenes of each evaluation.

    Raises:
        UserError: an unknown variant, a folder that cannot be written, or a record that cannot be read.
    """
    chosen = choose(only)
    try:
        out.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from error
    records = read_study_records(out)
    console = Console(stderr=True)
    for variant in chosen:
        for model in next_models(variant, records):
            console.print(model.name, highlight=False)
            record = _train(model, work, scenes)
            if record is None:  # a process of a launcher that does not write
                continue
            records[model.name] = record
            write_atomically(out / f"{model.name}.json", record.model_dump_json(indent=1) + "\n")
        set_aside(variant, records, work)
    return [name for variant in chosen for name in left(variant, records)]


def choose(only: Sequence[str]) -> list[StudyVariant]:
    """Return the variants with these names, all for none. Raises UserError for a name that is none."""
    variants = {variant.name: variant for variant in study_variants()}
    for name in only:
        if name not in variants:
            raise UserError(f"--variant {name!r}: is none{did_you_mean(name, list(variants))}")
    return [variant for name, variant in variants.items() if not only or name in only]


def next_models(variant: StudyVariant, records: Mapping[str, StudyRecord]) -> Iterator[StudyModel]:
    """Yield the models of a variant that have no record. `records` must get each before the next is taken."""
    for model in variant.swept():
        if model.name not in records:
            yield model
    found = [records[model.name] for model in variant.swept() if model.name in records]
    if len(found) < len(variant.swept()):
        return
    best = min(found, key=lambda record: record.loss).learning_rate
    for seed in variant.seeds[1:]:
        model = variant.model(seed, best)
        if model.name not in records:
            yield model


def set_aside(variant: StudyVariant, records: Mapping[str, StudyRecord], work: Path) -> None:
    """Move the trainings of a variant with other rates than the best into a folder of their own.

    `eidolon memory bench WORK` then measures one model of each variant and seed.
    """
    swept = variant.swept()
    if any(model.name not in records for model in swept):
        return
    best = min(swept, key=lambda model: records[model.name].loss)
    (work / OTHER_RATES).mkdir(exist_ok=True)
    for model in swept:
        if model != best and (work / model.name).is_dir():
            (work / model.name).replace(work / OTHER_RATES / model.name)


def left(variant: StudyVariant, records: Mapping[str, StudyRecord]) -> list[str]:
    """Return the names of a variant's models without a record; further seeds by their seed until the rate is known."""
    names = [model.name for model in variant.swept() if model.name not in records]
    if names:
        return names + [f"{variant.name}, best rate, seed {seed}" for seed in variant.seeds[1:]]
    return [model.name for model in next_models(variant, records)]


def read_study_records(out: Path) -> dict[str, StudyRecord]:
    """Return the records of a folder by the name of the model. Raises UserError for one that cannot be read."""
    found = {}
    for path in sorted(out.glob("*-seed*.json")):
        try:
            found[path.stem] = StudyRecord.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise UserError(f"{path}: cannot be read; remove it ({type(error).__name__})") from error
    return found


def _train(model: StudyModel, work: Path, scenes: int) -> StudyRecord | None:
    from eidolon.benchmark.study.training.memory import train_memory_recipe

    recipe = model.recipe()
    found: TrainedMemory | None = train_memory_recipe(
        recipe, work / model.name, None, work / BATCHES, scenes=scenes
    )
    if found is None:
        return None
    return StudyRecord(
        variant=model.variant,
        seed=model.seed,
        learning_rate=model.learning_rate,
        recipe=recipe,
        parameters=found.report.parameters,
        loss=round(found.report.loss, 4),
        seconds=round(found.report.seconds, 1),
        evaluation=found.evaluation,
        predictor_r_squared=found.predictor_r_squared,
        not_reported=refusal(found.predictor_r_squared),
    )
