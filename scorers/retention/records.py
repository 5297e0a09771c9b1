"""The records of the retention probe: a context that a model was given, and its answers in that context."""

import operator
from typing import Literal, TypeAlias, get_args

from pydantic import ConfigDict, Field

from eidolon.scorers.core.types import ImageId, Record

Condition: TypeAlias = Literal["own", "filler", "other", "before", "words"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
"""The kinds of text. `own` is the model's own description, `filler` neutral sentences, and `other` the description of
another image: each is between the image and the question. `before` is a control, with neutral sentences before the
image. `words` is `filler` with its words in random order; the memory study asks after it, and a run does not."""
Kind: TypeAlias = Literal["object", "text"]
"""What a question is about: an object in the image, or a fact stated in the prompt."""


class YesNoAnswer(Record):
    """A yes/no question, and how likely each answer is to the model."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Kind
    about: str
    """The category, or the value of the fact that the question names."""
    truth: bool
    named: bool = False
    """Whether the preceding text names the category. Such questions are only asked in the condition `other`."""
    log_yes: float
    log_no: float

    @property
    def margin(self) -> float:
        """Log-probability of the true answer minus that of the false one, in nats."""
        difference = self.log_yes - self.log_no
        return difference if self.truth else -difference

    @property
    def correct(self) -> float:
        """1 if the likelier answer is the true one, 0.5 if both are equally likely."""
        return 0.5 if self.margin == 0 else float(self.margin > 0)


class AnsweredContext(Record):
    """A line of `retention.jsonl`: one context of an image, and the answers in it.

    A line without a condition is the starting point, n = 0, that the other contexts of the image are compared with.
    """

    sample_id: str
    generation: int
    """Number of the context of the sample, from 0."""
    image_id: ImageId
    condition: Condition | None = None
    n: int = 0
    """Tokens between the image and the question, or before the image."""
    donor: str | None = None
    """In the condition `other`, the sample with the description."""
    answers: tuple[YesNoAnswer, ...]
    error: str | None = Field(None, exclude_if=operator.not_)
    """Why there are no answers. Absent from the file if there are."""
    transient: bool = Field(False, exclude_if=operator.not_)
    """The error is temporary, so that a resumed run asks again. Absent from the file if false."""
