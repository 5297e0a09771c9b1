"""A turn that begins with a given text and that the model continues."""

import operator

from pydantic import Field

from eidolon.scorers.core.types import FinishReason, ImageId, Mention, Record


class ContinuedTurn(Record):
    """What the records of given turns share: the given text, and how the model continued it."""

    sample_id: str
    generation: int
    """Number of the turn of the sample, from 0."""
    image_id: ImageId
    given: str
    response: str | None
    """The whole turn, with the given text."""
    finish_reason: FinishReason
    completion_tokens: int | None
    """Tokens of the whole turn."""
    mentions: tuple[Mention, ...] = ()
    """Mentions in the whole turn."""
    unscored: str | None = None
    transient: bool = Field(False, exclude_if=operator.not_)
    """The error is temporary, so that a later session tries again. Absent from the file if false."""
