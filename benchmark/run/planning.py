"""From settings to runs that are ready to start, one for each model; every mistake shows here."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from eidolon.benchmark.data.coco_licences import Attribution
from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.question_layouts import LAYOUTS
from eidolon.benchmark.data.samples import Sample, SampleSource
from eidolon.benchmark.engine.cache import ResponseCache, open_cache
from eidolon.benchmark.engine.cache_file import ModelName
from eidolon.benchmark.engine.cached_model import cached
from eidolon.benchmark.engine.generation import Generation
from eidolon.benchmark.run.estimate import estimate
from eidolon.benchmark.run.shards import find_shard, part_of, warning
from eidolon.benchmark.settings.config import ConfigRecord, Inputs, PromptText, deciding
from eidolon.benchmark.settings.fields import AUTO, MAX_COUNT
from eidolon.benchmark.settings.load import Given, load_settings
from eidolon.benchmark.settings.run import ModelSpec, RunSettings
from eidolon.benchmark.store.files import RUN
from eidolon.benchmark.store.folder import check_folder
from eidolon.benchmark.tasks.plugins import training_warnings
from eidolon.benchmark.tasks.protocol import ModelRun, ModelTask, Questions, Run
from eidolon.benchmark.tasks.registry import check_fields, model_task
from eidolon.models.backends.registry import (
    ModelReference,
    backend_traits,
    check_contrast_support,
    check_options,
    content_hash,
    deciding_options,
    identity,
    load_model,
    resolve,
)
from eidolon.models.base.backend import FileDigest
from eidolon.models.base.checkpoint_files import file_sha256
from eidolon.models.base.contrast import ContrastDecoding, make_contrast
from eidolon.models.base.model import Decoding, Model
from eidolon.models.base.shipped import NOT_INSTALLED, shipped_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import judge_settings
from eidolon.scorers.core.signature import Signature

RUNS = Path("results/runs")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one `eidolon run` will do."""

    out: Path
    source: SampleSource
    task: ModelTask
    questions: Questions
    runs: tuple[tuple[Run, Generation], ...]

    def sha256(self) -> str:
        """Return a hash of all that the runs will ask: processes that answer together must plan alike."""
        runs = [[run.config.model_dump(mode="json"), run.keys] for run, _ in self.runs]
        return hashlib.sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest()


def load_run_settings(file: Path | None, flags: Mapping[str, Any]) -> Given[RunSettings]:
    """Merge a YAML file with what the flags say, over the defaults of the task.

    Raises:
        UserError: a field is unknown, has a wrong value, or is for another task.
    """
    given = load_settings(RunSettings, file, flags)
    layout = LAYOUTS.get(given.settings.dataset.partition("/")[0])
    if layout is not None and not given.says("task"):
        flags = {**flags, "task": "answer"}
        given = load_settings(RunSettings, file, flags)
    if layout is not None and given.settings.task != "answer":
        raise UserError(
            f"{given.place('task')} {given.settings.task}: --dataset {given.settings.dataset} has questions of its "
            "own; leave the task out"
        )
    task = model_task(given.settings.task)
    if task.defaults:
        defaults = {**task.defaults, **({} if layout is None else layout.defaults)}
        given = load_settings(RunSettings, file, flags, defaults)
    check_fields(given, task)
    settings = given.settings
    check_count(settings, settings.limit or 1)
    if settings.generations > 1 and settings.temperature == 0:
        raise UserError(
            f"--generations {settings.generations}: greedy decoding gives the same response every time; "
            "give a --temperature above 0"
        )
    return given


def check_count(settings: RunSettings, samples: int) -> None:
    """Check the number of responses of a run.

    Raises:
        UserError: it is larger than `MAX_COUNT`.
    """
    if (count := samples * settings.generations) > MAX_COUNT:
        raise UserError(
            f"--generations {settings.generations}: {samples} samples make {count} responses; "
            f"at most {MAX_COUNT} fit into a run"
        )


def make_plan(given: Given[RunSettings], out: Path | None) -> Plan:
    """Check and load everything but the models: names, options, dataset, truth, folders. Writes nothing.

    Raises:
        UserError: any of it is wrong.
    """
    settings = given.settings
    models = find_models(settings)
    contrast = make_contrast(settings.decoding, settings.decoding_options)
    for spec, reference in models:
        check_contrast_support(contrast, reference)
        check_options(reference, spec.options)
    task = model_task(settings.task)
    ask = task.plan(given)
    out = default_out(settings) if out is None else out
    if os.path.isfile(out / RUN):
        raise UserError(f"--out {out}: is the folder of one run; give the folder that holds the runs")
    source = load_dataset(
        settings.dataset,
        limit=settings.limit,
        seed=settings.seed,
        options=settings.dataset_options,
        sample_ids=settings.sample_ids,
        pick=settings.pick,
    )
    questions = ask(source)
    shard = find_shard(settings, task)
    if shard is not None:
        preferred = (backend_traits(reference).preferred_batch for _, reference in models)
        questions, out = part_of(questions, shard, settings, preferred), shard.folder(out)
    cache = open_cache() if settings.cache else None
    digest = file_sha256 if cache is None else cache.file_digest
    planned = [
        _plan_run(settings, out, source, questions, spec, reference, contrast, cache, digest)
        for spec, reference in models
    ]
    return Plan(out, source, task, questions, tuple(planned))


def _plan_run(
    settings: RunSettings,
    out: Path,
    source: SampleSource,
    questions: Questions,
    spec: ModelSpec,
    reference: ModelReference,
    contrast: ContrastDecoding | None,
    cache: ResponseCache | None,
    digest: FileDigest,
) -> tuple[Run, Generation]:
    """Return the run of one model, and what answers its requests."""
    decoding = Decoding(
        settings.max_new_tokens, settings.temperature, settings.top_p, settings.seed, contrast
    )
    check_count(settings, len(questions.asked))
    of_all = questions.asked_by_all or questions.asked
    keys, all_keys = (
        tuple((sample_id, g) for sample_id in asked for g in range(questions.generations))
        for asked in (questions.asked, of_all)
    )
    signature = Signature(
        dataset=source.signature(),
        truth=source.annotator,
        prompt=questions.prompt.signature(),
        decoding=decoding.signature(),
        judge=questions.judge.signature(),
        judge_settings=judge_settings(questions.judge),
        text=questions.rules.signature(),
        policy=questions.policy,
        measures=questions.measures,
        n=len(keys),
        resamples=settings.resamples,
        seed=settings.seed,
    )
    finds = settings.batch_size == AUTO
    batch_size = backend_traits(reference).preferred_batch if finds else settings.batch_size
    assert isinstance(batch_size, int)
    name = settings.label or spec.label or spec.name
    model_run = ModelRun(name, signature, questions.samples, keys, reference, decoding, settings)
    run = Run(
        path=out / (spec.label or reference.slug),
        name=name,
        config=_config(settings, source, questions, spec, reference, contrast, digest),
        signature=signature,
        sample_ids=tuple(row.sample_id for row in questions.samples),
        keys=keys,
        batch_size=batch_size,
        work=questions.work(model_run),
        finds_batch_size=finds,
        warnings=(
            *training_warnings(questions.judge, settings.dataset, ()),
            *((warning(settings.shard),) if settings.shard else ()),
        ),
        sized_by=all_keys,
        attribution=_attribution(source, questions),
    )
    if (record := check_folder(run.path, run.config)) is not None:
        run = replace(run, batch_size=record.batches["size"], finds_batch_size=False)
    load: Callable[[], Model] = partial(load_model, reference, spec.options)
    if cache is not None:
        identify = partial(identity, reference, spec.options, cache.file_digest)
        load = partial(cached, ModelName(spec.name, reference.target), cache, identify, load)
    generation = Generation(spec.name, load, source, of_all, decoding)
    generation.interviews = questions.interviews
    return run, generation


def _config(
    settings: RunSettings,
    source: SampleSource,
    questions: Questions,
    spec: ModelSpec,
    reference: ModelReference,
    contrast: ContrastDecoding | None,
    digest: FileDigest,
) -> ConfigRecord:
    """Return everything that decides the result of one model's run."""
    prompt = questions.prompt
    model = ModelSpec(name=spec.name, options=deciding_options(reference, spec.options))
    return ConfigRecord(
        verb="run",
        task=settings.task,
        settings=deciding(settings, models=(model,), metrics=questions.metrics),
        inputs=Inputs(
            dataset=source.sha256,
            model_files=content_hash(reference, digest),
            prompt=PromptText(name=prompt.name, text=prompt.text, hash=prompt.signature().partition("#")[2]),
            text=questions.rules.version,
            judge=questions.judge.signature(),
            annotator=source.annotator,
            contrast=contrast.settings() if contrast else {},
            shard=settings.shard,
            task={**questions.inputs, **questions.inputs_of_model(reference)},
        ),
    )


def _attribution(source: SampleSource, questions: Questions) -> tuple[Attribution, ...]:
    """Return sources and licences of the images that are asked about, each once, where the dataset has them."""
    samples = {sample.image_id: sample for sample in source.samples}
    wanted = dict.fromkeys(row.image_id for row in questions.samples)
    found = (source.attribution(samples[image_id]) for image_id in wanted if image_id in samples)
    return tuple(one for one in found if one is not None)


def default_out(settings: RunSettings) -> Path:
    """Return the folder of a run that was given none: the same for the same settings, whatever the models.

    With nothing set at all that is the demo's.
    """
    decided, unset = (deciding(one, models=()) for one in (settings, RunSettings()))
    if decided == unset and not settings.models:
        return RUNS / "demo"
    chosen = decided | {"pick": settings.pick, "sample_ids": settings.sample_ids and str(settings.sample_ids)}
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()
    dataset = re.sub(r"[^A-Za-z0-9._]+", "-", settings.dataset).strip("-.")[-60:]
    return RUNS / f"{dataset}-{settings.task}-{digest[:8]}"


def check_processes(settings: RunSettings, size: int) -> None:
    """Refuse several processes for a model that they would not make faster.

    Raises:
        UserError: there is such a model.
    """
    for _, reference in find_models(settings) if size > 1 else ():
        if (reason := backend_traits(reference).one_process) is not None:
            raise UserError(
                f"--processes {size}: --model {reference.text} needs one ({reason}); run it by a command of its own"
            )


def find_models(settings: RunSettings) -> list[tuple[ModelSpec, ModelReference]]:
    """Return the models of the settings, or the shipped ones, with what their names mean.

    Raises:
        UserError: a name is wrong, or two models have one run folder.
    """
    specs = settings.models or tuple(ModelSpec(name=name) for name in shipped_models())
    specs = tuple(
        spec.model_copy(update={"options": settings.model_options | spec.options}) for spec in specs
    )
    if not specs:
        raise UserError(f"--model: {NOT_INSTALLED}; or name a model, for example replay/FILE")
    if settings.label is not None and len(specs) > 1:
        raise UserError(
            f"--label {settings.label}: names one model, and there are {len(specs)}; give each a 'label' in a "
            "--config file"
        )
    resolved = [(spec, resolve(spec.name)) for spec in specs]
    folders: dict[str, str] = {}
    for spec, reference in resolved:
        folder = spec.label or reference.slug
        if folder in folders:
            raise UserError(
                f"--model {spec.name!r}: its run folder {folder!r} is that of {folders[folder]!r} too; "
                "give one a 'label' in a --config file"
            )
        folders[folder] = spec.name
    return resolved


def summary(plan: Plan, rate: float | None = None) -> Mapping[str, Any]:
    """Return what `--dry-run` prints: what would be done, how much of it, and how long it may take.

    `rate` is in responses a second, of every model; without it an earlier run like this one is the source, if there
    is one.
    """
    first, _ = plan.runs[0]
    unreadable = [sample for sample in plan.source.samples if sample.image_sha256 is None]
    fits = {"batch size": f"{first.batch_size}, or what fits the device of a model that can tell"}
    return {
        "out": str(plan.out),
        "models": {run.name: str(run.path) for run, _ in plan.runs},
        "dataset": first.signature.dataset,
        "samples": len(first.sample_ids),
        **({"images that cannot be read": _count(unreadable)} if unreadable else {}),
        "responses": len(first.keys) * len(plan.runs),
        "batches": sum(-(-len(run.keys) // run.batch_size) for run, _ in plan.runs),
        **(fits if first.finds_batch_size else {}),
        "prompt": plan.questions.prompt.text,
        "decoding": first.signature.decoding,
        **estimate([run for run, _ in plan.runs], plan.questions.judge, plan.out, rate),
        **plan.questions.summary,
    }


def _count(unreadable: Sequence[Sample]) -> str:
    return f"{len(unreadable)}, the first is of sample {excerpt(unreadable[0].sample_id)}; they stay unscored"
