"""The lines of `knowledge.jsonl`: what a model answers about the objects of an image before it describes it."""

import operator

from pydantic import ConfigDict, Field

from eidolon.scorers.core.types import ImageId, Record


class ProbedObject(Record):
    """An object, and the log-odds of yes in each wording of the question whether it is in the image."""

    model_config = ConfigDict(allow_inf_nan=False)

    about: str
    """The category."""
    truth: bool
    log_odds: tuple[float, ...]
    """Log-probability of yes minus that of no, in nats, by wording."""


class ProbedImage(Record):
    """A line of `knowledge.jsonl`: all true objects of an image and a sample of the absent ones."""

    sample_id: str
    generation: int = 0
    image_id: ImageId
    objects: tuple[ProbedObject, ...]
    unasked: int
    """Absent categories of the dataset that were not in the sample."""
    error: str | None = Field(None, exclude_if=operator.not_)
    """Why there are no answers. Absent from the file if there are."""
    transient: bool = Field(False, exclude_if=operator.not_)
    """The error is temporary, so that a later session asks again. Absent from the file if false."""
