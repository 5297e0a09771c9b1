"""The records that pass between the stages of a run. Each is one line of a file in the run folder."""

import operator
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from eidolon.scorers.core.bounds import TokenCount, why_too_long

ImageId: TypeAlias = int | str
FinishReason: TypeAlias = Literal["stop", "length", "error", "unknown"]
Verdict: TypeAlias = Literal["grounded", "hallucinated", "ignored"]


def _is_none(value: object) -> bool:
    return value is None


class Record(BaseModel):
    """Base of everything that is written to a file. Unknown fields are errors, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __copy__(self) -> Self:
        """Return a shallow copy, which `model_copy` changes.

        Scoring makes one of each mention. That of pydantic takes twice as long, for private fields and the general
        `copy`; records have no private fields.
        """
        extra = self.__pydantic_extra__
        twin = self.__class__.__new__(self.__class__)
        object.__setattr__(twin, "__dict__", self.__dict__.copy())
        object.__setattr__(twin, "__pydantic_fields_set__", self.__pydantic_fields_set__.copy())
        object.__setattr__(twin, "__pydantic_extra__", None if extra is None else extra.copy())
        object.__setattr__(twin, "__pydantic_private__", None)
        return twin


class Response(Record):
    """What a model wrote for one sample and one prompt.

    `sample_id` names the row, and `image_id` joins the ground truth. `response` is the answer without `reasoning`,
    the text of a thinking block. `response` is null exactly if `error` is set.
    """

    sample_id: str
    image_id: ImageId
    response: str | None
    generation: int = 0
    """Number of this response among those to the same sample, from 0."""
    prompt: str | None = None
    reasoning: str | None = None
    finish_reason: FinishReason = "unknown"
    prompt_tokens: TokenCount | None = None
    completion_tokens: TokenCount | None = None
    token_ends: tuple[int, ...] | None = None
    """For each generated token, the character offset in `response` at which its text ends."""
    token_logprobs: tuple[float, ...] | None = Field(None, exclude_if=_is_none)
    """For each generated token, the natural logarithm of its probability under the model itself: at temperature 1 and
    before any nucleus cut. Absent from the file if the backend was not asked for it."""
    first_token_logprobs: dict[str, float] | None = Field(None, exclude_if=_is_none)
    """Log-probabilities of the first token of an answer, in nats, by token. Absent from the file if they are not
    known."""
    error: str | None = None
    transient: bool = Field(False, exclude_if=operator.not_)
    """The error is temporary: a resumed run asks again, for this response alone. Only a backend that answers each
    request by itself may set it. Absent from the file if false."""

    def bounded(self) -> "Response":
        """Return the response, or in place of one that is too long to be judged an error that says so."""
        reason = why_too_long(self.response) or why_too_long(self.reasoning)
        if reason is None:
            return self
        dropped = {"response": None, "reasoning": None, "token_ends": None, "token_logprobs": None}
        return self.model_copy(update={**dropped, "finish_reason": "error", "error": reason})


class Mention(Record):
    """One object that a response names.

    If the judge answers for the whole response and does not locate the object, the text is empty and the offsets are
    0.
    """

    category: str
    text: str
    start: int
    """Character offset of the first character in the response."""
    end: int
    """Character offset after the last character."""
    word: int
    """Index of the first word, counting whitespace-separated words of the response from 0."""
    token: int | None = None
    """Index of the generated token that holds the first character, if the backend reports tokens."""
    verdict: Verdict | None = None
    votes: dict[str, int | None] | None = None
    """For an ensemble, 1 or 0 by `judge/format`, null where the judge did not decide. Formats without a name are
    counted from 1."""
    weight: float | None = Field(None, exclude_if=_is_none)
    """How likely the mention is wrong if nothing supports it, 0 to 1. Only some judges set it."""
    match: str | None = Field(None, exclude_if=_is_none)
    """For an open vocabulary, the true object that the mention was paired with."""
    similarity: float | None = Field(None, exclude_if=_is_none)
    """For an open vocabulary, 0 to 1: how alike the mention and that object are, or how far the references support
    the word."""


class Edit(Record):
    """One difference between a response and the text that was judged."""

    start: int
    """Character offset in the response of the first character that is left out."""
    end: int
    """Character offset after the last one."""
    text: str = ""
    """What is read instead."""
    rule: str
    """Name of the rule."""


class Judgement(Record):
    """What a judge found in one response, or why it could not judge it.

    Offsets of mentions are those of the response. Words are counted in the text that was judged.
    """

    sample_id: str
    image_id: ImageId
    generation: int = 0
    mentions: tuple[Mention, ...] = ()
    unscored: str | None = None
    votes: dict[str, dict[str, int | None]] | None = Field(None, exclude_if=_is_none)
    """For an ensemble, 1, 0 or null (undecided) by `judge/format`, for every category with a vote that is not 0,
    whatever the threshold. Null, and absent from the file, for a judge with a single vote."""
    unreadable: int = Field(0, exclude_if=operator.not_)
    """For an ensemble, how many of the answers were neither yes nor no. Absent from the file if none was."""
    edits: tuple[Edit, ...] = Field((), exclude_if=operator.not_)
    """How the text that was judged differs from the response, in order. Absent from the file if it does not."""
