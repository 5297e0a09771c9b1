"""`eidolon memory study`: trains and measures the models of the memory study, one after the other.

`WORK/MODEL/` is a training and its checkpoint, `OUT/MODEL.json` the record of a finished one, and
`OUT/MODEL.measured.zip` the measurements of one with the best rate. The same command again continues. Several
processes may run it with the same folders: each takes the models that no other works on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from eidolon.benchmark.engine.launch import refuse_launcher
from eidolon.benchmark.scenes.memory_training import MemoryRecipe
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.lock import claimed
from eidolon.benchmark.study.folders import make_folders
from eidolon.benchmark.study.memory.archive import SUFFIX, accuracy_at_start, write_archive
from eidolon.benchmark.study.memory.bench import other_rules
from eidolon.benchmark.study.memory.checkpoints import CHECKPOINT, find_checkpoints
from eidolon.benchmark.study.memory.measure import measure_checkpoint
from eidolon.benchmark.study.memory.measurements import BenchSettings, folder_name
from eidolon.benchmark.study.memory.seeing import SEEN_WITHIN
from eidolon.benchmark.study.memory.study_models import (
    RATES,
    SEEDS,
    StudyModel,
    StudyVariant,
    study_variants,
)
from eidolon.benchmark.study.training.evaluation import Evaluation
from eidolon.models.base.shipped import RECIPE
from eidolon.models.memory.innovation import refusal
from eidolon.scorers.core.errors import UserError, did_you_mean

BATCHES = "batches"
"""The folder of the batches that all models share."""
REFERENCE = "attention"
"""The variant that says how well a model can learn to see."""
MEASURED = "measured"
"""The folder of the measurements before they are in their archives."""


class StudyRecord(BaseModel):
    """One trained model of the study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: str
    seed: int
    learning_rate: float
    recipe: MemoryRecipe
    parameters: int
    loss: float | None
    """Mean language loss of the last 100 steps, in nats. Samples do not repeat, so that it compares rates. Null if the
    training diverged."""
    seconds: float
    evaluation: Evaluation | None
    """Null if the training diverged."""
    predictor_r_squared: tuple[float, ...] | None
    """R² of the predictor of each layer with a store, over long references. Null without a store."""
    not_reported: str | None
    """The reason why results of the model are not reported."""


def run_study(
    out: Path,
    work: Path,
    only: Sequence[str] = (),
    *,
    scenes: int = 300,
    settings: BenchSettings | None = None,
) -> list[str]:
    """Train what has no record yet, measure the models with the best rate, and return what is left.

    A model with a record and without an archive is measured if its checkpoint is there, and else trained again.

    Args:
        out: Folder of the records and archives.
        work: Folder of the trainings.
        only: Names of variants; none for all.
        scenes: Held-out scenes of each evaluation.
        settings: Settings of the measurements; None for those of `eidolon memory bench`.

    Raises:
        UserError: an unknown variant, a folder that cannot be written, a record that cannot be read or has another
            recipe, or a launcher of several processes.
    """
    refuse_launcher("memory study")
    chosen = choose(only)
    make_folders(out, work)
    console = Console(stderr=True)

    def finish(model: StudyModel, *, measured: bool) -> bool:
        """Train a model if it has no record, and measure it if asked to. Return whether anything was done.

        A model that another process works on is left to it.
        """
        with claimed(work / model.name) as mine:
            if not mine:
                console.print(f"{model.name}: another process works on it", highlight=False)
                return False
            record = read_study_records(out).get(model.name)
            wants = measured and not is_measured(model, out)
            done = record is not None and not wants
            if record is None or (wants and record.loss is not None and not has_weights(model, work)):
                console.print(model.name, highlight=False)
                record = _train(model, work, scenes)
                write_atomically(out / f"{model.name}.json", record.model_dump_json(indent=1) + "\n")
            if wants and record.loss is not None:
                first = model.seed == SEEDS[0]
                _measure(model, out, work, settings or BenchSettings(), console, with_other_rules=first)
            return not done

    def advance(variant: StudyVariant) -> bool:
        """Train and measure what a variant lacks. Return whether anything was done."""
        done = False
        for model in variant.swept():
            if model.name not in read_study_records(out):
                done |= finish(model, measured=False)
        for model in best_models(variant, read_study_records(out)):
            records = read_study_records(out)
            ended = is_measured(model, out) or diverged(model, records)
            if not ended and model in wanted_models(variant, records, out):
                done |= finish(model, measured=True)
        return done

    # Once more after a pass that did something: another process may have completed what this one waited for.
    busy = True
    while busy:
        passes = [advance(variant) for variant in chosen]
        busy = any(passes)
    records = read_study_records(out)
    return [name for variant in chosen for name in left(variant, records, out)]


def choose(only: Sequence[str]) -> list[StudyVariant]:
    """Return the variants with these names, all for none. Raises UserError for an unknown name."""
    variants = {variant.name: variant for variant in study_variants()}
    for name in only:
        if name not in variants:
            raise UserError(f"--variant {name!r}: unknown{did_you_mean(name, list(variants))}")
    return [variant for name, variant in variants.items() if not only or name in only]


def best_models(variant: StudyVariant, records: Mapping[str, StudyRecord]) -> list[StudyModel]:
    """Return the models of a variant with the best rate, one for each seed.

    None before the sweep is complete, or if no rate converged. Once other seeds were trained with a rate, it stays.
    """
    swept = variant.swept()
    if any(model.name not in records for model in swept):
        return []
    used = [rate for rate in RATES if any(variant.model(s, rate).name in records for s in variant.seeds[1:])]
    losses = {model.learning_rate: records[model.name].loss for model in swept}
    converged = {rate: loss for rate, loss in losses.items() if loss is not None}
    if not converged:
        return []
    best = used[0] if used else min(converged, key=lambda rate: converged[rate])
    return [variant.model(seed, best) for seed in variant.seeds]


def wanted_models(variant: StudyVariant, records: Mapping[str, StudyRecord], out: Path) -> list[StudyModel]:
    """Return the models of a variant that are measured: those with the best rate, or only the first of them.

    Only the first, if its measured answers right after the image are so wrong that the mean over the seeds is below the
    bound of `seeing` even with all other seeds perfect. The variant's comparisons are then "not comparable" in any
    case. That needs all seeds of full attention, so that until they are measured only the first is wanted too. Without
    any model of full attention all are.
    """
    models = best_models(variant, records)
    (attention,) = choose([REFERENCE])
    if not models or variant.name == REFERENCE or not any(m.name in records for m in attention.swept()):
        return models
    reference = best_models(attention, records)
    if not reference or not all(is_measured(model, out) for model in (*reference, models[0])):
        return models[:1]
    seen = [accuracy_at_start(archive_of(model, out)) for model in reference]
    most = (accuracy_at_start(archive_of(models[0], out)) + len(models) - 1) / len(models)
    return models[:1] if most < sum(seen) / len(seen) - SEEN_WITHIN else models


def archive_of(model: StudyModel, out: Path) -> Path:
    """Return the file of a model's measurements."""
    return out / f"{model.name}{SUFFIX}"


def is_measured(model: StudyModel, out: Path) -> bool:
    """Whether a model has an archive of measurements."""
    return archive_of(model, out).is_file()


def left(variant: StudyVariant, records: Mapping[str, StudyRecord], out: Path) -> list[str]:
    """Return the names of a variant's models that lack a record or, with the best rate, an archive.

    Until the rate is known, further models have the name of their seed.
    """
    names = [model.name for model in variant.swept() if model.name not in records]
    if names:
        return names + [f"{variant.name}, best rate, seed {seed}" for seed in variant.seeds[1:]]
    wanted = wanted_models(variant, records, out)
    return [model.name for model in wanted if not is_measured(model, out) and not diverged(model, records)]


def diverged(model: StudyModel, records: Mapping[str, StudyRecord]) -> bool:
    """Return whether a model was trained and its loss is no number."""
    return model.name in records and records[model.name].loss is None


def has_weights(model: StudyModel, work: Path) -> bool:
    """Whether the folder of a training has a whole checkpoint. Its recipe is written after its weights."""
    return (work / model.name / CHECKPOINT / RECIPE).is_file()


def read_study_records(out: Path) -> dict[str, StudyRecord]:
    """Return the records of a folder by the name of the model.

    Raises:
        UserError: a record that cannot be read, or that has another recipe than the model of its name.
    """
    known = {
        model.name: model
        for variant in study_variants()
        for seed in variant.seeds
        for model in (variant.model(seed, rate) for rate in RATES)
    }
    found = {}
    for path in sorted(out.glob("*-seed*.json")):
        try:
            record = StudyRecord.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise UserError(f"{path}: cannot be read; remove it ({type(error).__name__})") from error
        if path.stem in known and record.recipe != known[path.stem].recipe():
            raise UserError(f"{path}: was made by another recipe; give another --out, or remove it")
        found[path.stem] = record
    return found


def _train(model: StudyModel, work: Path, scenes: int) -> StudyRecord:
    from eidolon.benchmark.study.training.memory import train_memory_recipe
    from eidolon.models.training.loop import DivergedError

    recipe = model.recipe()
    try:
        found = train_memory_recipe(recipe, work / model.name, None, work / BATCHES, scenes=scenes)
    except DivergedError as error:
        return StudyRecord(
            variant=model.variant,
            seed=model.seed,
            learning_rate=model.learning_rate,
            recipe=recipe,
            parameters=error.parameters,
            loss=None,
            seconds=round(error.seconds, 1),
            evaluation=None,
            predictor_r_squared=None,
            not_reported=str(error),
        )
    assert found is not None, "a whole training in one process"
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
        not_reported=refusal(recipe.architecture.memory.layout, None, found.predictor_r_squared),
    )


def _measure(
    model: StudyModel,
    out: Path,
    work: Path,
    settings: BenchSettings,
    console: Console,
    *,
    with_other_rules: bool,
) -> None:
    """Measure a trained model and write its archive. Other rules for its stores are described, so one seed has them."""
    (trained,) = find_checkpoints([f"{model.variant}={work / model.name}"])
    measured = {}
    for rule in (None, *(other_rules(trained) if with_other_rules else ())):
        measure_checkpoint(
            trained,
            settings,
            work / MEASURED,
            selection=rule,
            say=lambda text: console.print(text, style="dim"),
        )
        measured[rule] = work / MEASURED / folder_name(trained, settings, rule)
    write_archive(out / f"{model.name}{SUFFIX}", trained, settings, measured)
