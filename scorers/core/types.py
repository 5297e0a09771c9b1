"""The records that pass between the stages of a run. Each is one line of a file in the run folder."""

import operator
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from eidolon.scorers.core.bounds import TokenCount, why_too_long

ImageId: TypeAlias = int | str
FinishReason: TypeAlias = Literal["stop", "length", "error", "unknown"]
Verdict: TypeAlias = Literal["grounded", "hallucinated", "ignored"]


_assign = object.__setattr__


def _is_none(value: object) -> bool:
    return value is None


class Record(BaseModel):
    """Base of everything that is written to a file. Unknown fields are errors, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values, which are not checked: that of pydantic, in a third of its time.

        Scoring makes two of each mention. Few records have extra fields, and none has private ones.
        """
        if deep or not update or self.__pydantic_extra__ is not None:
            return super().model_copy(update=update, deep=deep)
        given = self.__pydantic_fields_set__
        twin = self.__class__.__new__(self.__class__)
        _assign(twin, "__dict__", {**self.__dict__, **update})
        _assign(twin, "__pydantic_fields_set__", given if given >= update.keys() else given | update.keys())
        _assign(twin, "__pydantic_extra__", None)
        _assign(twin, "__pydantic_private__", None)
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
    reply: str | None = Field(None, exclude_if=_is_none)
    """What a language model that rates answers replied. Absent from the file for any other judge."""
    edits: tuple[Edit, ...] = Field((), exclude_if=operator.not_)
    """How the text that was judged differs from the response, in order. Absent from the file if it does not."""
