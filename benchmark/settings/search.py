"""`SearchSettings`: the space and the budgets of `eidolon memory search`."""

from typing import Annotated

from pydantic import Field

from eidolon.benchmark.settings.fields import MAX_COUNT, MAX_SEED, Flag, Settings

Count = Annotated[int | None, Field(ge=1, le=MAX_COUNT)]


class SearchSettings(Settings):
    """What `eidolon memory search` searches. Null is the default of its recipe."""

    depth: Annotated[int | None, Field(ge=1, le=16), Flag("Model", default="3")] = None
    """The largest number of layers."""
    max_bytes: Annotated[int | None, Field(ge=1), Flag("Model", default="no limit")] = None
    """Search only architectures whose memory of a sequence takes at most this; the reference may take more."""
    steps: Annotated[int | None, Field(ge=2, le=MAX_COUNT), Flag("Task", default="300")] = None
    """Training steps of a candidate."""
    trainings: Annotated[Count, Flag("Task", default="24")] = None
    """Candidates that an evolution trains at most."""
    finalists: Annotated[Count, Flag("Task", default="6")] = None
    """Candidates that each other method trains."""
    sampled: Annotated[int | None, Field(ge=2, le=MAX_COUNT), Flag("Task", default="20")] = None
    """Random candidates to correlate the scores over."""
    supernet_steps: Annotated[Count, Flag("Task", default="1000")] = None
    """Training steps of the supernet."""
    context: Annotated[Count, Flag("Task", default="8192")] = None
    """Tokens read before the step whose latency counts."""
    seed: Annotated[int, Field(ge=0, lt=MAX_SEED), Flag("Task")] = 0
    """Of weights, data and search."""
