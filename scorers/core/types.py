"""The records that travel between the stages of a run; each is one line of a file in the run folder."""

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

ImageId: TypeAlias = int | str
FinishReason: TypeAlias = Literal["stop", "length", "error", "unknown"]
Verdict: TypeAlias = Literal["grounded", "hallucinated", "ignored"]


_SELDOM = ("weight", "match", "similarity")


class Record(BaseModel):
    """Base of everything that is written to a file: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Response(Record):
    """What a model wrote for one sample and one prompt.

    `sample_id` names the row; `image_id` joins the ground truth. `response` is the answer alone, `reasoning`
    a thinking block kept apart. `error` is set exactly when there is no response (then `response` is null).
    """

    sample_id: str
    image_id: ImageId
    response: str | None
    generation: int = 0
    """Which of several responses to the same sample this is, from 0."""
    prompt: str | None = None
    reasoning: str | None = None
    finish_reason: FinishReason = "unknown"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    token_ends: tuple[int, ...] | None = None
    """For each generated token, the character offset in `response` at which its text ends."""
    token_logprobs: tuple[float, ...] | None = None
    """For each of the same tokens, the natural logarithm of its probability under the model as it is: at temperature
    1, before any nucleus cut. Where the backend was asked for it; else absent from the file."""
    error: str | None = None
    transient: bool = False
    """Of an error: it passes, so that a resumed run asks again, for this response alone. Only what answers each
    request by itself may say so. Absent from the file where it is false."""

    @model_serializer(mode="wrap")
    def _without_seldom(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        if not self.transient:
            fields.pop("transient", None)
        if self.token_logprobs is None:
            fields.pop("token_logprobs", None)
        return fields


class Mention(Record):
    """One object that a response names.

    A judge that answers for the whole response, not saying where, gives the empty text at 0.
    """

    category: str
    text: str
    start: int
    """Character offset in the response of the first character, …"""
    end: int
    """… and of the one after the last."""
    word: int
    """Index of the first word, counting whitespace-separated words of the response from 0."""
    token: int | None = None
    """Index of the generated token that holds the first character, where the backend says."""
    verdict: Verdict | None = None
    votes: dict[str, int] | None = None
    """Of an ensemble: 1 or 0 by `judge/format`; formats without a name are counted from 1."""
    weight: float | None = None
    """How surely the mention is wrong if nothing supports it, 0 to 1, where the judge says."""
    match: str | None = None
    """Of an open vocabulary: the true object that it was paired with."""
    similarity: float | None = None
    """Of an open vocabulary, 0 to 1: how alike the two are, or how far the references support the word."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what only some judges say."""
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if value is not None or name not in _SELDOM}


class Judgement(Record):
    """What a judge found one response to say, or why it could not say."""

    sample_id: str
    image_id: ImageId
    generation: int = 0
    mentions: tuple[Mention, ...] = ()
    unscored: str | None = None
    votes: dict[str, dict[str, int]] | None = None
    """Of an ensemble: 1 or 0 by `judge/format`, for every category with at least one yes, whatever the threshold
    makes of it. Null, and absent from the file, where one judge decides."""

    @model_serializer(mode="wrap")
    def _without_no_votes(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        if self.votes is None:
            fields.pop("votes", None)
        return fields
