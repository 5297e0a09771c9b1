"""`MemoryTrainingSettings`: the settings of `eidolon train memory` beside those of every recipe."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from eidolon.benchmark.settings.fields import MAX_COUNT, MAX_SEED, Flag, Settings


class MemoryTrainingSettings(Settings):
    """The options of the recipe `memory`; None means what the study used."""

    layout: Annotated[str | None, Flag("Model")] = None
    """memory: a variant, or one layer's memory after the other: GDN-GDN-GDN-*."""
    window: Annotated[int | None, Field(ge=1, le=MAX_COUNT), Flag("Model", default="96")] = None
    """memory: tokens in a window."""
    store: Annotated[int | None, Field(ge=1, le=MAX_COUNT), Flag("Model", default="16")] = None
    """memory: tokens in a store."""
    selection: Annotated[
        str | None, Flag("Model", metavar="innovation|recent|random", default="innovation")
    ] = None
    """memory: which tokens a store keeps."""
    seed: Annotated[int | None, Field(ge=0, lt=MAX_SEED), Flag("Model", default="0")] = None
    """memory: seed of the weights."""
    order: Annotated[int | None, Field(ge=0, lt=MAX_SEED), Flag("Model", default="the study's")] = None
    """memory: seed of the order of the batches."""
    precision: Annotated[str | None, Flag("Model", metavar="no|bf16", default="bf16 on a GPU, else no")] = (
        None
    )
    """memory: precision of matrix products; no is float32."""
    eye: Annotated[Path | None, Flag("Model", default="the shipped eye")] = None
    """memory: checkpoint whose picture side the model uses."""
    batches: Annotated[Path | None, Flag("Model")] = None
    """memory: folder that keeps the batches, for trainings that share them."""
