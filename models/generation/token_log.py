"""A log of the generated token ids, for callers in this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from eidolon.models.base.model import Request

TokenLog = dict[tuple[str, int], tuple[int, ...]]
"""Generated token ids by (sample id, generation), without the end token."""
_token_log: ContextVar[TokenLog | None] = ContextVar("token_log", default=None)


@contextmanager
def token_log() -> Iterator[TokenLog]:
    """Log the tokens of all answers that backends in this process generate within the block.

    A text can have several tokenizations, so code that continues an answer needs its tokens. Result files do not store
    them.
    """
    tokens: TokenLog = {}
    reset = _token_log.set(tokens)
    try:
        yield tokens
    finally:
        _token_log.reset(reset)


def log_tokens(request: Request, tokens: Sequence[int]) -> None:
    """Log the tokens of an answer, if a `token_log` block is active."""
    log = _token_log.get()
    if log is not None:
        log[request.sample_id, request.generation] = tuple(tokens)
