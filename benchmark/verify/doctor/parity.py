"""Compares the answers of two ways to run a model, and separates near-ties from real differences.

Greedy decoding takes the likeliest token. If two tokens are equally likely up to rounding, two runs can take different
ones and then continue with different texts. So answers are compared up to the first difference. A reference model with
log-probabilities shows whether that is a near-tie. Any other difference has a cause that needs attention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from eidolon.benchmark.engine.generation import collect
from eidolon.benchmark.store.diagnosis import AnswerDifference
from eidolon.models.base.model import Model, Request, WhiteBoxModel
from eidolon.models.generation.generated_text import token_ends
from eidolon.models.generation.token_log import token_log
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record, Response

if TYPE_CHECKING:
    import torch

NEAR_TIE = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.2}
"""By precision, the largest gap, in nats, to the likeliest token that rounding alone can reverse.

Measured on the shipped models, the log-probability of a token alone and in a padded batch differs by at most 3e-6 in
float32, 0.006 in float16 and 0.05 in bfloat16. A gap contains two such errors. The rest is a margin for larger models;
it is largest in float32, where rounding is far below any real fault."""
EXCERPT = 24
"""Characters of each text that are shown, from the first different word on."""

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A request with its answer, and the generated tokens if the backend notes them."""

    request: Request
    response: Response
    tokens: Tokens | None = None


class Parity(Record):
    """The result of a comparison of two lists of answers."""

    n: int
    """Number of compared answers."""
    equal: int
    """Number of equal answers."""
    differences: tuple[AnswerDifference, ...] = ()

    @property
    def largest_gap(self) -> float | None:
        """The largest known gap at a first difference; None without any."""
        return max((d.gap for d in self.differences if d.gap is not None), default=None)

    @property
    def unexplained(self) -> tuple[AnswerDifference, ...]:
        """The differences that are not known to be near-ties."""
        return tuple(d for d in self.differences if not d.near_tie)

    @property
    def same(self) -> bool:
        """Whether rounding explains all differences."""
        return not self.unexplained


@dataclass(frozen=True, slots=True)
class Reference:
    """A model in this process that gives the probabilities of tokens, and the gap that counts as a near-tie."""

    model: WhiteBoxModel
    tolerance: float = 0.0
    """Largest gap of a near-tie in nats; 0 for that of the model's precision."""

    @property
    def near_tie(self) -> float:
        """The largest gap of a near-tie, in nats."""
        return self.tolerance or NEAR_TIE[str(self.model.dtype).removeprefix("torch.")]


def as_reference(model: Model) -> Reference | None:
    """Return the model as a reference; None if it does not give log-probabilities."""
    if not isinstance(model, WhiteBoxModel):
        return None
    from eidolon.models.probing.teacher_forcing import check_forcing

    try:
        check_forcing(model)
    except UserError:
        return None
    return Reference(model)


def ask(model: Model, requests: Sequence[Request], *, batch: int, name: str = "model") -> list[Answered]:
    """Return the answers to requests in their order, generated in batches, with tokens if the backend notes them."""
    answered: list[Answered] = []
    for start in range(0, len(requests), batch):
        asked = requests[start : start + batch]
        with token_log() as tokens:
            found = collect(name, asked, model.generate(asked))
        for request in asked:
            key = request.sample_id, request.generation
            answered.append(Answered(request, found[key], tokens.get(key)))
    return answered


def compare(
    expected: Sequence[Answered], found: Sequence[Answered], reference: Reference | None = None
) -> Parity:
    """Compare answers to the same requests, in the same order.

    Both are greedy, or sampled with the same seeds. The gap of sampled answers is right only if the backend of the
    reference generated both.

    Raises:
        ValueError: the lists have different lengths.
    """
    if len(expected) != len(found):
        raise ValueError(f"{len(expected)} answers and {len(found)} to compare them with")
    apart = [pair for pair in zip(expected, found, strict=True) if not _equal(*pair)]
    differences = [_difference(a, b, reference) for a, b in apart]
    return Parity(n=len(expected), equal=len(expected) - len(apart), differences=tuple(differences))


def _equal(a: Answered, b: Answered) -> bool:
    if a.response.error is not None or b.response.error is not None:
        return False
    if a.tokens is not None and b.tokens is not None and a.tokens != b.tokens:
        return False
    ends = {a.response.finish_reason, b.response.finish_reason} - {"unknown"}
    return a.response.response == b.response.response and len(ends) < 2


def _difference(a: Answered, b: Answered, reference: Reference | None) -> AnswerDifference:
    one, other = (x.response.response or "" for x in (a, b))
    character = common(one, other)
    known = AnswerDifference(
        sample_id=a.request.sample_id,
        character=character,
        expected=_shown(a.response, character),
        found=_shown(b.response, character),
    )
    if reference is None or a.response.error is not None or b.response.error is not None:
        return known
    fork = find_fork(a, b, reference.model)
    if fork is None:
        return known.model_copy(update={"near_tie": False})
    measure = draw_gap if a.request.decoding.sampled else tie_gap
    gap = measure(a.request, fork, reference.model)
    return known.model_copy(
        update={"token": len(fork.prefix), "gap": gap, "near_tie": gap <= reference.near_tie}
    )


@dataclass(frozen=True, slots=True)
class Fork:
    """The first difference of two continuations: their common start, and the next tokens of each."""

    prefix: Tokens
    expected: Tokens
    found: Tokens
    """The next tokens: one, or all possible end tokens if the text ends."""


def find_fork(a: Answered, b: Answered, model: WhiteBoxModel) -> Fork | None:
    """Return the first difference of two answers; None if tokens do not show it, as when one answer was cut off.

    Without noted tokens, those of the text are used. They can differ from the generated ones, so if only one side has
    noted tokens, the other is aligned with it by characters.
    """
    if a.tokens is not None and b.tokens is not None:
        at = common(a.tokens, b.tokens)
        return _fork(a.tokens[:at], _next(a, a.tokens, at, model), _next(b, b.tokens, at, model))
    swapped = a.tokens is None and b.tokens is not None
    known, other_side = (b, a) if swapped else (a, b)
    left, right = _spelled(known, model), _spelled(other_side, model)
    character = common(left.text, right.text)
    at = sum(1 for _ in takewhile(lambda end: end <= character, left.ends))
    if len(left.text) == character and known.tokens is not None:
        at = len(left.tokens)
    start = left.ends[at - 1] if at else 0
    beyond = sum(1 for _ in takewhile(lambda end: end <= start, right.ends))
    one, other = _next(known, left.tokens, at, model), _next(other_side, right.tokens, beyond, model)
    return _fork(left.tokens[:at], other, one) if swapped else _fork(left.tokens[:at], one, other)


def _fork(prefix: Tokens, expected: Tokens, found: Tokens) -> Fork | None:
    return Fork(prefix, expected, found) if expected and found and expected != found else None


def _next(answered: Answered, tokens: Tokens, at: int, model: WhiteBoxModel) -> Tokens:
    if at < len(tokens):
        return tokens[at : at + 1]
    return model.end_ids if answered.response.finish_reason != "length" else ()


@dataclass(frozen=True, slots=True)
class _Spelled:
    text: str
    """The text with its leading white space, which answers lack."""
    tokens: Tokens
    ends: tuple[int, ...]


def _spelled(answered: Answered, model: WhiteBoxModel) -> _Spelled:
    tokenizer = model.tokenizer
    if answered.tokens is None:
        from eidolon.models.probing.teacher_forcing import leading_space

        # Answers are stripped. The generated text usually starts with a space, depending on the template.
        text = leading_space(model, answered.request) + (answered.response.response or "")
        tokens = tuple(tokenizer.encode(text, add_special_tokens=False))
    else:
        tokens = answered.tokens
    text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    ends = token_ends(tokenizer, tokens, text)
    if ends is None:
        ends = tuple(
            len(tokenizer.decode(tokens[: i + 1], skip_special_tokens=True)) for i in range(len(tokens))
        )
    return _Spelled(text, tokens, ends)


def tie_gap(request: Request, fork: Fork, model: WhiteBoxModel) -> float:
    """Return the gap, in nats, between the likeliest token and the less likely of the two tokens."""
    values = _log_probabilities(request, fork.prefix, model)
    chosen = min(max(values[t] for t in tokens) for tokens in (fork.expected, fork.found))
    return float(values.max() - chosen)


def draw_gap(request: Request, fork: Fork, model: WhiteBoxModel) -> float:
    """Return the larger distance, 0 to 1, of the step's random number from the shares of the two tokens.

    The random number and the order of the tokens are those of `eidolon.models.generation.sampling`.
    """
    decoding = request.decoding
    values = _log_probabilities(request, fork.prefix, model) / decoding.temperature
    shares = np.exp(values - values.max())
    shares /= shares.sum()
    if decoding.top_p < 1:
        order = np.argsort(shares, kind="stable")
        shares[order[shares[order].cumsum() <= 1 - decoding.top_p]] = 0.0
        shares /= shares.sum()
    upper = shares.cumsum()
    stream = np.random.Generator(np.random.PCG64(decoding.seed))
    drawn = stream.random(len(fork.prefix) + 1)[-1]
    outside = [
        min(max(upper[t] - shares[t] - drawn, drawn - upper[t], 0.0) for t in tokens)
        for tokens in (fork.expected, fork.found)
    ]
    return float(max(outside))


def _log_probabilities(
    request: Request, prefix: Tokens, model: WhiteBoxModel
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return the log-probabilities of all tokens after a prefix, (vocabulary,)."""
    from eidolon.models.probing.teacher_forcing import teacher_force

    for chunk in teacher_force(model, [request], [[*prefix, model.pad_id]]):
        last = chunk
    values = last.logits[0, -1].double().log_softmax(-1)
    return np.asarray(values.cpu().numpy())


def forced(model: WhiteBoxModel, answers: Sequence[Answered]) -> "torch.Tensor":
    """Return the log-probabilities of the tokens of answers, computed in one batch: (answers, longest).

    Positions after the end of an answer are 0.
    """
    import torch

    from eidolon.models.probing.teacher_forcing import teacher_force

    chunks = teacher_force(model, [a.request for a in answers], [a.tokens or () for a in answers])
    return torch.cat([chunk.log_probabilities().cpu() for chunk in chunks], dim=1)


def common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return the length of the common start of two sequences."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _shown(response: Response, character: int) -> str:
    if response.response is None:
        return f"(failed: {response.error})"
    start = response.response.rfind(" ", 0, character) + 1
    rest = response.response[start : start + EXCERPT] if character < len(response.response) else ""
    return rest or f"(ends: {response.finish_reason})"


def renamed(answered: Sequence[Answered], by: Mapping[str, Request]) -> list[Answered]:
    """Return the answers with other requests, found by the sample id of the old ones."""
    return [replace(one, request=by[one.request.sample_id]) for one in answered]
