"""From a configuration to runs that are ready to start, one a model; every mistake shows here."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from eidolon.benchmark.data.categories import judged_objects
from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.ground_truth import join_references
from eidolon.benchmark.data.prompts import QUESTION, Prompt, find_prompt, find_question_prompt
from eidolon.benchmark.data.samples import Sample, SampleSource
from eidolon.benchmark.engine.batch_size import AUTO
from eidolon.benchmark.engine.cache import open_cache
from eidolon.benchmark.engine.cache_file import ModelName
from eidolon.benchmark.engine.cached_model import cached
from eidolon.benchmark.engine.generation import Generation, PromptedSample
from eidolon.benchmark.run.estimate import estimate
from eidolon.benchmark.run.pipeline import Run
from eidolon.benchmark.run.plugins import (
    check_fit,
    make_judge,
    make_metrics,
    matches_references,
    needs_references,
)
from eidolon.benchmark.run.settings import ModelSpec, RunConfig
from eidolon.benchmark.store.files import RUN
from eidolon.benchmark.store.folder import check_folder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.forced_orders.stage import OrderSettings
from eidolon.benchmark.tasks.forget.retention.lengths import trained_words
from eidolon.benchmark.tasks.forget.retention.stage import INTERVIEWS, RetentionSettings
from eidolon.benchmark.tasks.forget.stage import Forget
from eidolon.benchmark.tasks.probe.answers import Probe, find_splits
from eidolon.benchmark.tasks.probe.questions import build
from eidolon.benchmark.tasks.score_files.pope import find_policies
from eidolon.models.backends.registry import (
    ModelReference,
    backend_traits,
    check_contrast_support,
    content_hash,
    deciding_options,
    identity,
    load_model,
    resolve,
)
from eidolon.models.base.contrast import make_contrast
from eidolon.models.base.model import Decoding, Model
from eidolon.models.base.shipped import NOT_INSTALLED, shipped_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge, RereadingJudge
from eidolon.scorers.core.metric import Metric

RUNS = Path("results/runs")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one `eidolon run` will do."""

    out: Path
    source: SampleSource
    runs: tuple[tuple[Run, Generation], ...]

    def sha256(self) -> str:
        """Return a hash of all that the runs will ask: processes that answer together must plan alike."""
        runs = [[run.config, run.keys] for run, _ in self.runs]
        return hashlib.sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked of every model, and what is made of the responses."""

    prompt: Prompt
    asked: dict[str, PromptedSample]
    """By sample id of the run, in order."""
    judge: Judge
    settings: dict[str, Any]
    """What of the run's config this task alone has."""
    metrics: tuple[Metric, ...] = ()
    generations: int = 1
    probe: Probe | None = None
    namers: tuple[Judge, ...] = ()
    """Of the task `forget`: readings of text, by which it is told what a text has named."""

    def rows(self) -> tuple[SampleRow, ...]:
        return tuple(
            SampleRow(
                sample_id=sample_id,
                image_id=asked.sample.image_id,
                objects=asked.sample.objects,
                image_sha256=asked.sample.image_sha256,
                references=asked.sample.references if matches_references(self.judge) else (),
                **({} if self.probe else _known(asked.sample)),
            )
            for sample_id, asked in self.asked.items()
        )


def _known(sample: Sample) -> dict[str, Any]:
    """Return what a row tells of the objects that the judge reports: their areas, and who says that they are there."""
    objects, sources = sample.objects, sample.sources
    return {
        "areas": {name: area for name, area in sample.areas.items() if name in objects},
        "annotated": sources and tuple(name for name in objects if name in sources.annotated),
        "captioned": sources and tuple(name for name in objects if name in sources.captioned),
    }


def make_plan(config: RunConfig, out: Path | None) -> Plan:
    """Check and load everything but the models: names, options, dataset, truth, folders. Writes nothing."""
    models = _models(config)
    contrast = make_contrast(config.decoding, config.decoding_options)
    for _, reference in models:
        check_contrast_support(contrast, reference)
    ask = _prepare_probe(config) if config.task == "probe" else _prepare_description(config)
    out = default_out(config) if out is None else out
    if os.path.isfile(out / RUN):
        raise UserError(f"--out {out}: is the folder of one run; give the folder that holds the runs")
    source = load_dataset(
        config.dataset,
        limit=config.limit,
        seed=config.seed,
        options=config.dataset_options,
        sample_ids=config.sample_ids,
        pick=config.pick,
    )
    task = ask(source)
    decoding = Decoding(config.max_new_tokens, config.temperature, config.top_p, config.seed, contrast)
    cache = open_cache() if config.cache else None
    runs = []
    for spec, reference in models:
        forget = _forget(config, task, reference, decoding)
        batch_size = (
            backend_traits(reference).preferred_batch if config.batch_size == AUTO else config.batch_size
        )
        run = Run(
            path=out / (spec.label or reference.slug),
            name=spec.label or spec.name,
            config={
                "verb": "run",
                "model": {"name": spec.name, "options": deciding_options(reference, spec.options)},
                "dataset": {"name": source.name, "settings": source.settings},
                "task": config.task,
                "limit": config.limit,
                "seed": config.seed,
                "prompt": {
                    "name": task.prompt.name,
                    "text": task.prompt.text,
                    "hash": task.prompt.signature().partition("#")[2],
                },
                "decoding": {
                    "max_new_tokens": decoding.max_new_tokens,
                    "temperature": decoding.temperature,
                    "top_p": decoding.top_p,
                    **({"contrast": contrast.settings()} if contrast else {}),
                },
                "batch_size": config.batch_size,
                **task.settings,
                **({"retention": forget.retention.config()} if forget else {}),
                **({"orders": forget.orders.config()} if forget else {}),
                "resamples": config.resamples,
                "sha256": {"dataset": source.sha256, "model_files": content_hash(reference)},
            },
            samples=task.rows(),
            keys=tuple((sample_id, g) for sample_id in task.asked for g in range(task.generations)),
            batch_size=batch_size,
            finds_batch_size=config.batch_size == AUTO,
            judge=task.judge,
            metrics=task.metrics,
            dataset=source.signature(),
            prompt=task.prompt.signature(),
            decoding=decoding.signature(),
            seed=config.seed,
            resamples=config.resamples,
            probe=task.probe,
            forget=forget,
        )
        if (record := check_folder(run.path, run.config)) is not None:
            run = replace(run, batch_size=record.batches["size"], finds_batch_size=False)
        load: Callable[[], Model] = partial(load_model, reference, spec.options)
        if cache is not None:
            identify = partial(identity, reference, spec.options, cache.file_digest)
            load = partial(cached, ModelName(spec.name, reference.target), cache, identify, load)
        generation = Generation(spec.name, load, source, task.asked, decoding)
        generation.interviews = forget is not None
        runs.append((run, generation))
    return Plan(out, source, tuple(runs))


def _prepare_description(config: RunConfig) -> Callable[[SampleSource], _Task]:
    """Check what is said of descriptions; return what makes the task of a dataset."""
    prompt = find_prompt(config.prompt)
    judge = make_judge(config.judge.name, config.judge.options)
    metrics = make_metrics(config.metrics, judge)
    check_fit(judge, metrics)
    needing = needs_references(judge, metrics)
    namers = _namers(config, judge) if config.task == "forget" else ()

    def ask(source: SampleSource) -> _Task:
        where = f"--dataset {config.dataset}: sample"
        if needing and (lacking := next((s for s in source.samples if not s.references), None)):
            raise UserError(
                f"{needing}: needs reference captions, which {where} {lacking.sample_id!r} has not; give a "
                "dataset that has them, or score the responses with eidolon score --captions"
            )
        samples = [
            replace(s, objects=judged_objects(s.objects, judge, f"{where} {s.sample_id!r}"))
            for s in join_references(source.samples, judge)
        ]
        return _Task(
            prompt=prompt,
            asked={sample.sample_id: PromptedSample(sample, prompt.text) for sample in samples},
            judge=judge,
            settings={
                "generations": config.generations,
                "judge": {"name": config.judge.name, "signature": judge.signature()},
                "metrics": [metric.family for metric in metrics],
            },
            metrics=metrics,
            generations=config.generations,
            namers=namers,
        )

    return ask


def _namers(config: RunConfig, judge: Judge) -> tuple[Judge, ...]:
    """Return the judges that find everything a text names, also what it denies."""
    if not isinstance(judge, RereadingJudge):
        raise UserError(
            f"--judge {config.judge.name}: --task forget asks about what a text has not named, and this judge cannot "
            "find that; leave --judge out"
        )
    return judge.namers()


def _forget(config: RunConfig, task: _Task, reference: ModelReference, decoding: Decoding) -> Forget | None:
    if config.task != "forget":
        return None
    words = trained_words(Path(reference.target)) if config.trained_length is None else None
    retention = RetentionSettings(
        prompt=task.prompt.text,
        lengths=tuple(sorted(set(config.lengths))),
        trained_tokens=config.trained_length,
        trained_words=words,
        batch_size=INTERVIEWS if config.batch_size == AUTO else config.batch_size,
        seed=config.seed,
        resamples=config.resamples,
    )
    orders = OrderSettings(
        prompt=task.prompt.text,
        decoding=decoding,
        judge=task.judge,
        batch_size=retention.batch_size,
        resamples=config.resamples,
    )
    return Forget(retention, orders, task.namers)


def _prepare_probe(config: RunConfig) -> Callable[[SampleSource], _Task]:
    """Check what is said of questions; return what makes the task of a dataset."""
    prompt = find_question_prompt(config.prompt)
    splits, policies = find_splits(config.split), find_policies(config.policy)

    def ask(source: SampleSource) -> _Task:
        built = build(
            source.samples,
            splits=splits,
            pairs=config.pairs,
            min_objects=config.min_objects,
            seed=config.seed,
            name=config.dataset,
        )
        probe = Probe(built, splits, policies)
        return _Task(
            prompt=prompt,
            asked={
                row.question_id: PromptedSample(
                    built.samples[row.question_id], prompt.text.replace(QUESTION, row.text), is_question=True
                )
                for row in built.rows
            },
            judge=probe.judge(),
            settings={
                "splits": [*splits],
                "policies": [*policies],
                "pairs": config.pairs,
                "min_objects": config.min_objects or config.pairs,
                "images": built.images,
                "left_out": built.left_out,
                "questions": hashlib.sha256(probe.text().encode()).hexdigest(),
            },
            probe=probe,
        )

    return ask


def default_out(config: RunConfig) -> Path:
    """Return the folder of a run that was given none: the same for the same settings, whatever the models.

    With nothing set at all that is the demo's.
    """
    settings, unset = (
        one.model_dump(mode="json", exclude={"models", "model_options", "max_unscored", "processes", "cache"})
        for one in (config, RunConfig())
    )
    if settings == unset and not config.models:
        return RUNS / "demo"
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    dataset = re.sub(r"[^A-Za-z0-9._]+", "-", config.dataset).strip("-.")[-60:]
    return RUNS / f"{dataset}-{config.task}-{digest[:8]}"


def check_processes(config: RunConfig, size: int) -> None:
    """Refuse several processes for a model that they would not make faster."""
    for _, reference in _models(config) if size > 1 else ():
        if (reason := backend_traits(reference).one_process) is not None:
            raise UserError(
                f"--processes {size}: --model {reference.text} wants one ({reason}); run it by a command of its own"
            )


def _models(config: RunConfig) -> list[tuple[ModelSpec, ModelReference]]:
    specs = config.models or tuple(ModelSpec(name=name) for name in shipped_models())
    specs = tuple(spec.model_copy(update={"options": config.model_options | spec.options}) for spec in specs)
    if not specs:
        raise UserError(f"--model: {NOT_INSTALLED}; or name a model, for example replay/FILE")
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

    `rate` is in responses a second, of every model; without it earlier runs say, or nobody does.
    """
    first, _ = plan.runs[0]
    unreadable = [sample for sample in plan.source.samples if sample.image_sha256 is None]
    size = {
        "out": str(plan.out),
        "models": {run.name: str(run.path) for run, _ in plan.runs},
        "dataset": first.dataset,
        "samples": len(first.samples),
        **({"images that cannot be read": _count(unreadable)} if unreadable else {}),
        "responses": len(first.keys) * len(plan.runs),
        "batches": sum(-(-len(run.keys) // run.batch_size) for run, _ in plan.runs),
        **(
            {"batch size": f"{first.batch_size}, or what fits the device of a model that can tell"}
            if first.finds_batch_size
            else {}
        ),
        "prompt": first.config["prompt"]["text"],
        "decoding": first.decoding,
        **estimate([run for run, _ in plan.runs], plan.out, rate),
    }
    if first.probe:
        built = first.probe.built
        return size | {
            "images": f"{built.images}, {built.left_out} left out",
            "questions": dict(Counter(row.split for row in built.rows)),
            "policy": ", ".join(first.probe.policies),
            "metrics": ["pope"],
        }
    return size | {"judge": first.judge.signature(), "metrics": first.config["metrics"]}


def _count(unreadable: Sequence[Sample]) -> str:
    return f"{len(unreadable)}, the first is of sample {excerpt(unreadable[0].sample_id)}; they stay unscored"
