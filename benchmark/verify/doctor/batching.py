"""Checks of what an answer must not depend on: what was asked before, and what else is in the batch."""

from collections.abc import Sequence

from eidolon.benchmark.store.diagnosis import Check
from eidolon.benchmark.verify.doctor.parity import Answered, Parity, Reference, compare, forced
from eidolon.benchmark.verify.doctor.subject import Subject
from eidolon.benchmark.verify.doctor.verdicts import Figures, judge


def determinism(subject: Subject) -> Check:
    """The same batch twice, and once more after other requests, which may have left something behind."""
    first = subject.together
    again = subject.ask(subject.requests)
    subject.ask(subject.mixed[::-1])
    later = subject.ask(subject.requests)
    return judge("determinism", [compare(first, other, subject.reference) for other in (again, later)])


def batch(subject: Subject) -> Check:
    """Each request alone, and all of them in one batch."""
    parity = compare(subject.alone, subject.together, subject.reference)
    return _with_noise("batch", subject, comparisons=[parity], answers=subject.alone)


def padding(subject: Subject) -> Check:
    """Prompts of different lengths, alone and in one batch, where the short ones are filled up."""
    alone = subject.ask(subject.mixed, 1)
    together = subject.ask(subject.mixed)
    lengths = [a.response.prompt_tokens for a in alone if a.response.prompt_tokens is not None]
    figures = {"shortest prompt": min(lengths), "longest prompt": max(lengths)} if lengths else {}
    parity = compare(alone, together, subject.reference)
    return _with_noise("padding", subject, comparisons=[parity], answers=alone, figures=figures)


def order(subject: Subject) -> Check:
    """The batch in another order: the answers must come in that order too, each with its own picture."""
    places = range(subject.n)
    # Neither turned round nor rotated: pictures that are would stay with the same wrong prompts.
    shuffled = [*places[1::2], *places[::2][::-1]]
    answers = subject.ask([subject.requests[i] for i in shuffled])
    expected = [subject.together[i] for i in shuffled]
    return judge("image order", [compare(expected, answers, subject.reference)])


def noise(reference: Reference, answers: Sequence[Answered]) -> float:
    """Return the largest change of any answer's log-probabilities from alone to one padded batch, in nats."""
    told = [a for a in answers if a.tokens]
    together = forced(reference.model, told)
    largest = 0.0
    for row, one in enumerate(told):
        alone = forced(reference.model, [one])[0]
        largest = max(largest, float((together[row, : len(alone)] - alone).abs().max()))
    return largest


def _with_noise(
    name: str,
    subject: Subject,
    comparisons: Sequence[Parity],
    answers: Sequence[Answered],
    figures: Figures | None = None,
) -> Check:
    """Judge answers, and where the model tells log-probabilities, how much they moved: text can hide a lot."""
    found = dict(figures or {})
    problems: list[str] = []
    if subject.own and any(a.tokens for a in answers):
        found["noise"] = moved = noise(subject.own, answers)
        if not moved <= subject.own.near_tie:
            problems.append(
                f"log-probabilities of the same text move by {moved:.3g} nats, more than {subject.own.near_tie:g}"
            )
    return judge(name, comparisons, problems, found)
