"""Checks of the loaded model: weights, precision, prefix cache, and the answers of another backend."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from eidolon.benchmark.store.diagnosis import Check
from eidolon.benchmark.verify.doctor.parity import NEAR_TIE, Answered, as_reference, ask, compare, forced
from eidolon.benchmark.verify.doctor.subject import Subject
from eidolon.benchmark.verify.doctor.verdicts import judge, not_applicable
from eidolon.models.base.model import REUSED, ClosingModel, MeteredModel, Model
from eidolon.scorers.core.errors import UserError

FULL = "float32"
COARSE = ("float16", "bfloat16")
PRECISION_NOISE = {"float16": 0.06, "bfloat16": 0.4}
"""By precision, the largest difference, in nats, of a token's log-probability from that in float32. It is four times
the largest effect of rounding on the shipped models (0.015 and 0.1 in 500 tokens)."""


def weights(subject: Subject) -> Check:
    """Check that the model uses every tensor of the checkpoint, and that its connector was trained.

    A checkpoint with missing tensors cannot be loaded.
    """
    unused = subject.described.get("unused_weights")
    if not isinstance(unused, int):
        return not_applicable("weights", "the backend does not report what it loaded")
    problems = [f"{unused} tensors of the checkpoint are not used by the model"] if unused else []
    if subject.own:
        from eidolon.benchmark.verify.doctor.connector import untrained_connector

        problems += filter(None, [untrained_connector(subject.own.model.model)])
    return judge("weights", [], problems, {"unused": unused})


def precision(subject: Subject) -> Check:
    """Compare the precision of the run with float32, and check that recurrent states are not kept in 16 bits."""
    option = subject.traits.precision_option
    if option is None:
        return not_applicable("precision", "the backend does not report its precision")
    figures: dict[str, int | float | str] = {"weights": str(subject.described.get("dtype"))}
    problems: list[str] = []
    if subject.own:
        states = _state_types(subject)
        figures["states"] = ", ".join(states) or "none"
        if coarse := [name for name in states if name in COARSE]:
            problems.append(f"recurrent states are kept in {coarse[0]}, which degrades long answers")
        if hidden := _other_types(subject):
            problems.append(f"some weights are {hidden}, not {figures['weights']}")
    elif declared := subject.described.get("state_dtype"):
        # "auto" is the engine's own choice, which it does not report.
        figures["states"] = str(declared)
        if declared in COARSE:
            problems.append(f"recurrent states are kept in {declared}, which degrades long answers")
    if subject.described.get("dtype") == FULL or subject.twin is None:
        if problems or figures.get("states", "none") not in ("none", "auto"):
            return judge("precision", [], problems, figures)
        known = "everything" if subject.own else "all that the backend reports"
        return not_applicable("precision", f"{known} is float32", figures)
    import torch

    answered = subject.together
    try:
        with _twin(subject, {option: FULL}) as full:
            return _against_full(subject, full, answered, problems, figures)
    except (UserError, torch.OutOfMemoryError) as error:
        if problems:
            return judge("precision", [], problems, figures)
        return not_applicable("precision", f"the same model cannot be loaded in float32: {error}", figures)


def _against_full(
    subject: Subject,
    full: Model,
    coarse: Sequence[Answered],
    problems: list[str],
    figures: dict[str, int | float | str],
) -> Check:
    answers = ask(full, subject.requests, batch=subject.n, name=subject.name)
    dtype = str(subject.described.get("dtype"))
    # The gap is that of the float32 model, the tolerance that of the coarser one.
    finer = as_reference(full) or subject.reference
    finer = finer and replace(finer, tolerance=NEAR_TIE.get(dtype, 0.0))
    known = [a for a in answers if a.tokens]
    if finer and finer.model is full and subject.own and known:
        change = float((forced(finer.model, known) - forced(subject.own.model, known)).abs().max())
        figures["noise"] = change
        if not change <= PRECISION_NOISE[dtype]:
            problems.append(
                f"log-probabilities of the same text change by {change:.3g} nats, more than the "
                f"{PRECISION_NOISE[dtype]:g} of rounding"
            )
    return judge("precision", [compare(answers, coarse, finer)], problems, figures)


@contextmanager
def _twin(subject: Subject, options: Mapping[str, str]) -> Iterator[Model]:
    """Load the model with other options. Engines that need the whole device are closed before and after."""
    assert subject.twin is not None
    _close(subject.model)
    twin = subject.twin(options)
    try:
        yield twin
    finally:
        _close(twin)


def _close(model: Model) -> None:
    if isinstance(model, ClosingModel):
        model.close()


def _state_types(subject: Subject) -> list[str]:
    from eidolon.models.probing.teacher_forcing import prompt_cache, recurrent_states

    assert subject.own is not None
    cache = prompt_cache(subject.own.model, subject.requests[:1])
    return sorted({str(state.dtype).removeprefix("torch.") for state in recurrent_states(cache)})


def _other_types(subject: Subject) -> str:
    """Return the floating-point types of weights that are less precise than the model reports."""
    assert subject.own is not None
    model = subject.own.model
    bits = model.dtype.itemsize
    found = {p.dtype for p in model.model.parameters() if p.is_floating_point() and p.dtype.itemsize < bits}
    return ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found))


def prefix_cache(subject: Subject) -> Check:
    """Answer the same requests without the prefix cache, and twice with it: cold and warm."""
    option = subject.traits.prefix_cache_option
    if option is None or subject.twin is None:
        return not_applicable("prefix cache", "the backend has no prefix cache")
    with _twin(subject, {option: "false"}) as without:
        plain = ask(without, subject.requests, batch=subject.n, name=subject.name)
    with _twin(subject, {option: "true"}) as cache:
        cold, warm = (ask(cache, subject.requests, batch=subject.n, name=subject.name) for _ in range(2))
        reused = cache.usage().get(REUSED) if isinstance(cache, MeteredModel) else None
    figures = {} if reused is None else {"reused tokens": reused}
    if reused == 0:
        why = "no prompt is long enough to be taken from the cache, whose blocks are large in hybrid models"
        return not_applicable("prefix cache", why, figures)
    comparisons = [compare(plain, found, subject.reference) for found in (cold, warm)]
    return judge("prefix cache", comparisons, figures=figures)


def against(subject: Subject) -> Check:
    """Compare with the answers of transformers, with the same checkpoint."""
    if subject.against is None:
        return not_applicable("against", "no other model was given to compare with")
    expected = ask(subject.against, subject.requests, batch=subject.n, name=subject.name)
    return judge("against", [compare(expected, subject.together, subject.reference)])
