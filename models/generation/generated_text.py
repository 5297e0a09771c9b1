"""From generated tokens to an answer: where each token ends, and what was only thought."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eidolon.models.base.model import Request
from eidolon.models.generation.token_log import log_tokens
from eidolon.scorers.core.types import FinishReason, Response

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated text without its thinking block and outer white space."""

    text: str
    reasoning: str | None
    start: int
    """Character offset of `text` in the generated text."""

    def shift(self, ends: Sequence[int]) -> tuple[int, ...]:
        """Turn token ends in the generated text into token ends in `text`; tokens before it end at 0."""
        return tuple(min(max(0, end - self.start), len(self.text)) for end in ends)


def split_reasoning(generated: str) -> Answer:
    """Keep a leading `<think>` block apart from the answer.

    The opening tag may stand in the prompt instead. A block that was never closed is all reasoning: the model
    gave no answer.
    """
    before, close, after = generated.partition(THINK_CLOSE)
    if close:
        return _answer(after, before, len(before) + len(close))
    if generated.lstrip().startswith(THINK_OPEN):
        return _answer("", generated, len(generated))
    return _answer(generated, None, 0)


def _answer(text: str, reasoning: str | None, start: int) -> Answer:
    stripped = text.strip()
    if reasoning is not None:
        reasoning = reasoning.strip().removeprefix(THINK_OPEN).strip()
    return Answer(stripped, reasoning, start + (len(text) - len(text.lstrip()) if stripped else len(text)))


def token_ends(tokenizer: Any, tokens: Sequence[int], text: str) -> tuple[int, ...] | None:
    """Return for each token the offset in `text` at which its characters end.

    A token that completes no character (part of a multi-byte one, or a special token) ends where the one before
    it did. None where the tokens decoded one after the other do not give `text`.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    ends: list[int] = []
    pieces: list[str] = []
    end = 0
    for token in tokens:
        piece = stream.step(backend, token)
        if piece:
            pieces.append(piece)
            end += len(piece)
        ends.append(end)
    whole = "".join(pieces)
    # A stream keeps back the bytes of a last, unfinished character.
    return tuple(ends) if text.startswith(whole) else None


def to_response(
    request: Request,
    row: Sequence[int],
    *,
    stops: Sequence[int],
    tokenizer: Any,
    prompt_tokens: int | None,
    logprobs: Sequence[float] | None = None,
) -> Response:
    """Make the response of what a model generated: token ids, the stop token and padding after it included.

    `stops` are the ids that end an answer; `logprobs`, where there are some, go with `row` one to one.
    """
    length = next((i for i, token in enumerate(row) if token in stops), None)
    finish: FinishReason = "length" if length is None else "stop"
    tokens = list(row[:length])
    log_tokens(request, tokens)
    text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    ends = token_ends(tokenizer, tokens, text)
    answer = split_reasoning(text)
    return Response(
        sample_id=request.sample_id,
        image_id=request.image_id,
        response=answer.text,
        generation=request.generation,
        prompt=request.prompt,
        reasoning=answer.reasoning,
        finish_reason=finish,
        prompt_tokens=prompt_tokens,
        completion_tokens=len(tokens) + (finish == "stop"),
        token_ends=None if ends is None else answer.shift(ends),
        token_logprobs=None if logprobs is None else tuple(logprobs[: len(tokens)]),
    )


def unanswered(request: Request, reason: str, *, transient: bool = False) -> Response:
    """Return what stands for the answer to a request that failed; `transient` where that passes."""
    return Response(
        sample_id=request.sample_id,
        image_id=request.image_id,
        response=None,
        generation=request.generation,
        prompt=request.prompt,
        finish_reason="error",
        error=reason,
        transient=transient,
    )
