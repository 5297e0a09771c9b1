"""The tokens of generated answers, for whoever wants them while they are made."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from eidolon.models.base.model import Request

TokenLog = dict[tuple[str, int], tuple[int, ...]]
"""Generated tokens by (sample id, generation), without the one that ended them."""
_token_log: ContextVar[TokenLog | None] = ContextVar("token_log", default=None)


@contextmanager
def token_log() -> Iterator[TokenLog]:
    """Note the tokens of all answers that backends in this process make while the block runs.

    Text need not have one tokenization only, so whoever goes on from an answer wants the tokens themselves; files,
    which are read by people, have no use for them.
    """
    noted: TokenLog = {}
    reset = _token_log.set(noted)
    try:
        yield noted
    finally:
        _token_log.reset(reset)


def log_tokens(request: Request, tokens: Sequence[int]) -> None:
    """Note the tokens of an answer, if somebody wants them."""
    noted = _token_log.get()
    if noted is not None:
        noted[request.sample_id, request.generation] = tuple(tokens)
