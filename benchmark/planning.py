"""From a configuration to runs that are ready to start, one a model; every mistake shows here."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eidolon.benchmark.config import ModelSpec, RunConfig
from eidolon.benchmark.datasets import Sample, SampleSource, judged_objects, load_dataset
from eidolon.benchmark.estimate import estimate
from eidolon.benchmark.pipeline import Generation, Run
from eidolon.benchmark.plugins import make_judge, make_metrics
from eidolon.benchmark.prompts import find_prompt
from eidolon.benchmark.run_folder import RUN, SampleRow, check_folder
from eidolon.benchmark.truth import join_references
from eidolon.models.base import Decoding
from eidolon.models.registry import ModelReference, content_hash, load_model, resolve
from eidolon.models.response_lines import excerpt
from eidolon.models.shipped import shipped_models
from eidolon.scorers.errors import UserError

RUNS = Path("results/runs")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one `eidolon run` will do."""

    out: Path
    source: SampleSource
    runs: tuple[tuple[Run, Generation], ...]


def make_plan(config: RunConfig, out: Path | None) -> Plan:
    """Check and load everything but the models: names, options, dataset, truth, folders. Writes nothing."""
    models = _models(config)
    prompt = find_prompt(config.prompt)
    judge = make_judge(config.judge.name, config.judge.options)
    metrics = make_metrics(config.metrics, judge)
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
    decoding = Decoding(config.max_new_tokens, config.temperature, config.top_p, config.seed)
    samples = tuple(
        SampleRow(
            sample_id=s.sample_id,
            image_id=s.image_id,
            objects=judged_objects(s.objects, judge, f"--dataset {config.dataset}: sample {s.sample_id!r}"),
            image_sha256=s.image_sha256,
        )
        for s in join_references(source.samples, judge)
    )
    runs = []
    for spec, reference in models:
        run = Run(
            path=out / (spec.label or reference.slug),
            name=spec.label or spec.name,
            config={
                "verb": "run",
                "model": {"name": spec.name, "options": spec.options},
                "dataset": {"name": source.name, "settings": source.settings},
                "task": config.task,
                "limit": config.limit,
                "seed": config.seed,
                "prompt": {
                    "name": prompt.name,
                    "text": prompt.text,
                    "hash": prompt.signature().partition("#")[2],
                },
                "decoding": {
                    "max_new_tokens": decoding.max_new_tokens,
                    "temperature": decoding.temperature,
                    "top_p": decoding.top_p,
                },
                "generations": config.generations,
                "batch_size": config.batch_size,
                "judge": {"name": config.judge.name, "signature": judge.signature()},
                "metrics": [metric.family for metric in metrics],
                "resamples": config.resamples,
                "sha256": {"dataset": source.sha256, "model_files": content_hash(reference)},
            },
            samples=samples,
            keys=tuple((s.sample_id, g) for s in source.samples for g in range(config.generations)),
            batch_size=config.batch_size,
            judge=judge,
            metrics=metrics,
            dataset=source.signature(),
            prompt=prompt.signature(),
            decoding=decoding.signature(),
            seed=config.seed,
            resamples=config.resamples,
        )
        check_folder(run.path, run.config)
        load = partial(load_model, reference, spec.options)
        runs.append((run, Generation(spec.name, load, source, prompt.text, decoding)))
    return Plan(out, source, tuple(runs))


def default_out(config: RunConfig) -> Path:
    """Return the folder of a run that was given none: the same for the same settings, whatever the models.

    With nothing set at all that is the demo's.
    """
    settings, unset = (
        one.model_dump(mode="json", exclude={"models", "model_options", "max_unscored"})
        for one in (config, RunConfig())
    )
    if settings == unset and not config.models:
        return RUNS / "demo"
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    dataset = re.sub(r"[^A-Za-z0-9._]+", "-", config.dataset).strip("-.")[-60:]
    return RUNS / f"{dataset}-{config.task}-{digest[:8]}"


def _models(config: RunConfig) -> list[tuple[ModelSpec, ModelReference]]:
    specs = config.models or tuple(ModelSpec(name=name) for name in shipped_models())
    specs = tuple(spec.model_copy(update={"options": config.model_options | spec.options}) for spec in specs)
    if not specs:
        raise UserError("--model: this installation has no shipped models; name one, for example replay/FILE")
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
    return {
        "out": str(plan.out),
        "models": {run.name: str(run.path) for run, _ in plan.runs},
        "dataset": first.dataset,
        "samples": len(first.samples),
        **({"images that cannot be read": _count(unreadable)} if unreadable else {}),
        "responses": len(first.keys) * len(plan.runs),
        "batches": -(-len(first.keys) // first.batch_size) * len(plan.runs),
        "prompt": first.config["prompt"]["text"],
        "decoding": first.decoding,
        "judge": first.judge.signature(),
        "metrics": first.config["metrics"],
        **estimate([run for run, _ in plan.runs], plan.out, rate),
    }


def _count(unreadable: Sequence[Sample]) -> str:
    return f"{len(unreadable)}, the first is of sample {excerpt(unreadable[0].sample_id)}; they stay unscored"
