"""Checks that a model follows the settings of a request: the limit of new tokens, and the seed."""

from collections.abc import Sequence
from dataclasses import replace

from eidolon.benchmark.store.diagnosis import Check
from eidolon.benchmark.verify.doctor.parity import Answered, compare
from eidolon.benchmark.verify.doctor.subject import Subject
from eidolon.benchmark.verify.doctor.verdicts import judge
from eidolon.models.base.model import Decoding, Request, request_seed

SHORT = 8
"""The limit of new tokens that is tested."""
TEMPERATURE = 1.0
"""The temperature at which seeds are tested."""


def length(subject: Subject) -> Check:
    """Answer with a low limit of new tokens. It must be kept, and the answer must be the start of the longer one."""
    limit = min(SHORT, subject.requests[0].decoding.max_new_tokens)
    short = subject.ask([_with(r, max_new_tokens=limit) for r in subject.requests])
    beyond = [a for a in short if _too_long(a, limit)]
    problems = [f"{len(beyond)} answers are longer than {limit} tokens"] if beyond else []
    starts = [_beginning(long, s, limit) for long, s in zip(subject.together, short, strict=True)]
    uncounted = sum(a.response.completion_tokens is None for a in short)
    figures = {"limit": limit, **({"answers without a count of tokens": uncounted} if uncounted else {})}
    return judge("length", [compare(starts, short, subject.reference)], problems, figures)


def _too_long(answer: Answered, limit: int) -> bool:
    count = answer.response.completion_tokens
    # Without a count, the number of words is a rough bound: a token has at most one word.
    return (len((answer.response.response or "").split()) if count is None else count) > limit


def _beginning(long: Answered, short: Answered, limit: int) -> Answered:
    """Return the long answer, cut where the short one should end."""
    text, shown = long.response.response or "", short.response.response or ""
    tokens = None if long.tokens is None else long.tokens[:limit]
    if tokens is not None and short.tokens is not None:
        same = tokens == short.tokens
    else:
        same = text.startswith(shown) if short.response.finish_reason != "stop" else text == shown
    # With the right tokens the text is right too, although its last character may be cut.
    changes = {"response": shown if same else text, "finish_reason": short.response.finish_reason}
    return Answered(
        short.request,
        long.response if long.response.error else long.response.model_copy(update=changes),
        tokens,
    )


def seeds(subject: Subject) -> Check:
    """Answer with sampling. Equal seeds must give equal answers, alone and in a batch, and other seeds other
    answers."""
    asked = [_with(r, temperature=TEMPERATURE, top_p=1.0) for r in subject.requests]
    together = subject.ask(asked)
    again, alone = subject.ask(asked), subject.ask(asked, 1)
    others = subject.ask([_reseeded(r) for r in asked])
    changed = _changed(together, others)
    problems = [] if changed else [f"no answer at temperature {TEMPERATURE:g} changed with the seed"]
    # Only a model in this process can say which random number drew a token.
    comparisons = [compare(together, other, subject.own) for other in (again, alone)]
    return judge("seeds", comparisons, problems, {"answers that changed with the seed": changed})


def _reseeded(request: Request) -> Request:
    return _with(request, seed=request_seed(request.decoding.seed, request.sample_id, 1))


def _changed(some: Sequence[Answered], others: Sequence[Answered]) -> int:
    return sum(a.response.response != b.response.response for a, b in zip(some, others, strict=True))


def _with(request: Request, **changes: float) -> Request:
    decoding: Decoding = replace(request.decoding, **changes)  # type: ignore[arg-type]
    return replace(request, decoding=decoding)
