"""`RunSettings`: all settings of `eidolon run`."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from eidolon.benchmark.settings.fields import (
    ALL,
    AS_LIST,
    AUTO,
    LENGTHS,
    MAIN_POLICY,
    MAX_COUNT,
    MAX_GENERATIONS,
    MAX_PROCESSES,
    MAX_SEED,
    PAIRS,
    BatchSize,
    Flag,
    Options,
    Settings,
)
from eidolon.benchmark.settings.judged import JudgedSettings
from eidolon.models.base.defaults import DEFAULT_TEMPERATURE

Measurements: TypeAlias = Literal["knowledge", "cloze", "interventions", "attention"]
"""Measurements of `forget` that can be left out."""


class ModelSpec(Settings):
    """One model of the run; in a file its name alone is enough."""

    name: str
    """`backend/name`, or the bare name of a shipped model."""
    options: Options = Field({})
    """Options of this model alone."""
    label: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)
    """Name of its run folder, by default made from `name`."""


def _as_model(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class RunSettings(JudgedSettings):
    """All settings of `eidolon run` with their defaults; also the fields of a `--config` file."""

    models: Annotated[
        tuple[Annotated[ModelSpec, BeforeValidator(_as_model)], ...],
        Flag("Model", "--model", metavar="BACKEND/NAME", default="the shipped models"),
    ] = ()
    """Model to run: backend/name, or a shipped model's name. Repeatable."""
    model_options: Annotated[Options, Flag("Model", "-M", metavar="KEY=VALUE", decides=False)] = Field({})
    """Option for every model of the command. Repeatable."""
    dataset: Annotated[str, Flag("Data")] = "scenes"
    """Dataset: scenes, coco, objects365, amber, folder/PATH, hf/NAME, a published benchmark/PATH or a plug-in's."""
    dataset_options: Annotated[Options, Flag("Data", "-D", metavar="KEY=VALUE")] = Field({})
    """Option of the dataset. Repeatable."""
    limit: Annotated[int | None, Field(ge=1, le=MAX_COUNT), Flag("Data", default="all; scenes: 64")] = None
    """Largest number of samples."""
    sample_ids: Annotated[Path | None, Flag("Data", decides=False)] = None
    """File with the ids of the samples to take, one a line."""
    pick: Annotated[Literal["first", "random"], Flag("Data", decides=False)] = "first"
    """Samples that --limit keeps: first, or random by the seed."""
    seed: Annotated[int, Field(ge=0, lt=MAX_SEED), Flag("Data")] = 0
    """Seed of drawn data, sampling and bootstrap."""
    shard: Annotated[str | None, Flag("Data", metavar="K/N", decides=False)] = None
    """Shard K of N, in a folder of its own; eidolon merge joins them."""
    task: Annotated[str, Flag("Task")] = "describe"
    """Task: describe, probe, forget, answer for a published benchmark, or a plug-in's."""
    task_options: Annotated[Options, Flag("Task", "-T", metavar="KEY=VALUE")] = Field({})
    """Option of answer (mode=compat|fixed) or of a plug-in task. Repeatable."""
    prompt: Annotated[str, Flag("Task", default="describe; probe, answer: question")] = "describe"
    """Prompt preset or a text of your own; for probe with {question} in it."""
    split: Annotated[str, Flag("Task")] = ALL
    """probe: how absent objects are chosen: random, popular, adversarial, all, look-alike (signs), or learned=FILE."""
    policy: Annotated[str, Flag("Task")] = MAIN_POLICY
    """probe: how answers are read: original, exact, lenient, strict, evalscope, or all side by side."""
    pairs: Annotated[int, Field(ge=1, le=MAX_COUNT), Flag("Task")] = PAIRS
    """probe: present and absent objects for each image and split."""
    min_objects: Annotated[int | None, Field(ge=1, le=MAX_COUNT), Flag("Task", default="--pairs")] = None
    """probe: leave out images with fewer objects."""
    lengths: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_COUNT)], ...], AS_LIST, Flag("Task", metavar="N,N,…")
    ] = LENGTHS
    """forget: tokens of text before the questions."""
    trained_length: Annotated[
        int | None, Field(ge=1, le=MAX_COUNT), Flag("Task", default="the recipe's, if known")
    ] = None
    """forget: tokens of the longest training text; longer texts are marked."""
    skip: Annotated[tuple[Measurements, ...], AS_LIST, Flag("Task", metavar="NAME,…", default="nothing")] = ()
    """forget: measurements to leave out: knowledge, cloze, interventions, attention."""
    max_new_tokens: Annotated[
        int, Field(ge=1, le=MAX_COUNT), Flag("Decoding", default="512; probe: 32; answer: 128")
    ] = 512
    """Longest response in tokens."""
    temperature: Annotated[
        float, Field(ge=0, allow_inf_nan=False), Flag("Decoding", default="0.6; probe, answer: 0")
    ] = DEFAULT_TEMPERATURE
    """Sampling temperature; 0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1), Flag("Decoding")] = 1.0
    """Nucleus sampling."""
    decoding: Annotated[Literal["plain", "m3id", "contrastive"], Flag("Decoding")] = "plain"
    """Decoding: plain, or m3id or contrastive against the model without the picture."""
    decoding_options: Annotated[Options, Flag("Decoding", "--decoding-option", metavar="KEY=VALUE")] = Field(
        {}
    )
    """Option of the decoding. Repeatable."""
    generations: Annotated[int, Field(ge=1, le=MAX_GENERATIONS), Flag("Decoding")] = 1
    """Responses for each sample."""
    batch_size: Annotated[BatchSize, Flag("Advanced", metavar="N|auto")] = AUTO
    """Requests in a batch; auto fits it to the device."""
    processes: Annotated[
        int | None, Field(ge=1, le=MAX_PROCESSES), Flag("Advanced", default="1", decides=False)
    ] = None
    """Processes that answer together, one for each GPU."""
    cache: Annotated[bool, Flag("Advanced", "--no-cache", decides=False)] = True
    """Reuse earlier responses and keep new ones; --no-cache asks the model for everything again."""
