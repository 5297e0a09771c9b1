"""From generated tokens to a response: token offsets, and the thinking block apart from the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eidolon.models.base.model import Request
from eidolon.models.generation.token_log import log_tokens
from eidolon.scorers.core.reasoning import ends_in_reasoning, reasoning_spans, without_tags
from eidolon.scorers.core.types import FinishReason, Response

OPENED = "<think>"
"""In place of a prompt that has opened a thinking block."""


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """A generated text without its thinking block and outer white space."""

    text: str
    reasoning: str | None
    """The text of the thinking block; None without one."""
    start: int
    """Character offset of `text` in the generated text."""

    def shift(self, ends: Sequence[int]) -> tuple[int, ...]:
        """Return the offsets in `text` of offsets in the generated text. Tokens before `text` end at 0."""
        return tuple(min(max(0, end - self.start), len(self.text)) for end in ends)


def split_reasoning(generated: str, *, opened: bool = False) -> GeneratedAnswer:
    """Return the answer of a generated text, with the reasoning before it apart (`reasoning_spans`).

    Reasoning after the beginning of the answer stays where it is; judges leave it out. If a block is not closed, all
    that follows is reasoning. `opened` says that the prompt has opened one.
    """
    if opened and ends_in_reasoning(OPENED + generated):
        return _answer("", generated, len(generated))
    spans = reasoning_spans(generated)
    if not spans or generated[: spans[0][0]].strip():
        return _answer(generated, None, 0)
    end = spans[0][1]
    for start, next_end in spans[1:]:
        if generated[end:start].strip():
            break
        end = next_end
    # A tag after the answer is no part of it.
    stop = spans[-1][0] if spans[-1][0] >= end and spans[-1][1] == len(generated) else len(generated)
    return _answer(generated[end:stop], generated[:end], end)


def _answer(text: str, reasoning: str | None, start: int) -> GeneratedAnswer:
    stripped = text.strip()
    if reasoning is not None:
        reasoning = without_tags(reasoning).strip()
    return GeneratedAnswer(
        stripped, reasoning, start + (len(text) - len(text.lstrip()) if stripped else len(text))
    )


def token_ends(tokenizer: Any, tokens: Sequence[int], text: str) -> tuple[int, ...] | None:
    """Return for each token the character offset in `text` at which its text ends.

    A token without a complete character (a part of a multi-byte one, or a special token) has the offset of the token
    before it. None if the tokens, decoded one after the other, do not give `text`.
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
    # The stream holds back the bytes of an incomplete last character.
    return tuple(ends) if text.startswith(whole) else None


def to_response(
    request: Request,
    row: Sequence[int],
    *,
    stops: Sequence[int],
    tokenizer: Any,
    prompt_tokens: int | None,
    logprobs: Sequence[float] | None = None,
    opened: bool = False,
) -> Response:
    """Return the response to a request from generated token ids, with the stop token and padding at the end of `row`.

    `stops` are the ids that end an answer. `logprobs` are the log-probabilities of the tokens of `row`, in nats.
    `opened` says that the prompt ends in a thinking block.
    """
    length = next((i for i, token in enumerate(row) if token in stops), None)
    finish: FinishReason = "length" if length is None else "stop"
    tokens = list(row[:length])
    log_tokens(request, tokens)
    text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    ends = token_ends(tokenizer, tokens, text)
    answer = split_reasoning(text, opened=opened)
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
    """Return the response to a request that failed; `transient` if the failure may pass."""
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
