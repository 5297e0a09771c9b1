"""What the retention probe writes down: a context that a model was put into, and how it answered there."""

from typing import Any, Literal, TypeAlias, get_args

from pydantic import ConfigDict, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.types import ImageId, Record

Condition: TypeAlias = Literal["own", "filler", "other", "before"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
"""The text: the model's own description, words about nothing, the description of another image, each between the
picture and the question; and as a control the words about nothing before the picture."""
Kind: TypeAlias = Literal["object", "text"]
"""What is asked about: an object of the picture, or a fact that the prompt told."""


class YesNoAnswer(Record):
    """One yes/no question, and how likely the model held the two answers."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Kind
    about: str
    """The category, or the fact's value that is asked for."""
    truth: bool
    named: bool = False
    """Whether the text before names the category; only asked about in the condition `other`."""
    log_yes: float
    log_no: float

    @property
    def margin(self) -> float:
        """How much likelier the true answer is, in nats."""
        difference = self.log_yes - self.log_no
        return difference if self.truth else -difference

    @property
    def correct(self) -> float:
        """1 where the likelier answer is the true one, 0.5 where neither is likelier."""
        return 0.5 if self.margin == 0 else float(self.margin > 0)


class AnsweredContext(Record):
    """A line of `retention.jsonl`: one context of an image, and the answers given in it.

    Without a condition it is the beginning, n = 0, that the others of the image are compared with.
    """

    sample_id: str
    generation: int
    """Counts the contexts of the sample, from 0."""
    image_id: ImageId
    condition: Condition | None = None
    n: int = 0
    """Tokens between the picture and the question, or before the picture."""
    donor: str | None = None
    """In the condition `other`: the sample whose description it is."""
    answers: tuple[YesNoAnswer, ...]
    error: str | None = None
    """Why there are no answers; absent from the file where there are."""
    transient: bool = False
    """Of an error: it passes, so that a resumed run asks again. Absent from the file where it is false."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if name not in ("error", "transient") or value}
