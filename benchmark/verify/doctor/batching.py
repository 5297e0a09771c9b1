"""Checks that an answer does not depend on earlier requests or on other requests in the batch."""

from collections.abc import Sequence

from eidolon.benchmark.store.diagnosis import Check
from eidolon.benchmark.verify.doctor.parity import Answered, Parity, Reference, compare, forced
from eidolon.benchmark.verify.doctor.subject import Subject
from eidolon.benchmark.verify.doctor.verdicts import Figures, judge


def determinism(subject: Subject) -> Check:
    """Answer the same batch twice, and again after other requests, whose state may have remained."""
    first = subject.together
    again = subject.ask(subject.requests)
    subject.ask(subject.mixed[::-1])
    later = subject.ask(subject.requests)
    return judge("determinism", [compare(first, other, subject.reference) for other in (again, later)])


def batch(subject: Subject) -> Check:
    """Answer each request alone, and all of them in one batch."""
    parity = compare(subject.alone, subject.together, subject.reference)
    return _with_noise("batch", subject, comparisons=[parity], answers=subject.alone)


def padding(subject: Subject) -> Check:
    """Answer prompts of different lengths alone, and in one batch that pads the short ones."""
    alone = subject.ask(subject.mixed, 1)
    together = subject.ask(subject.mixed)
    lengths = [a.response.prompt_tokens for a in alone if a.response.prompt_tokens is not None]
    figures = {"shortest prompt": min(lengths), "longest prompt": max(lengths)} if lengths else {}
    parity = compare(alone, together, subject.reference)
    return _with_noise("padding", subject, comparisons=[parity], answers=alone, figures=figures)


def order(subject: Subject) -> Check:
    """Answer the batch in another order. Each answer must belong to the request in its place."""
    places = range(subject.n)
    # Not reversed or rotated: a model that reverses or rotates its images would pass.
    shuffled = [*places[1::2], *places[::2][::-1]]
    answers = subject.ask([subject.requests[i] for i in shuffled])
    expected = [subject.together[i] for i in shuffled]
    return judge("image order", [compare(expected, answers, subject.reference)])


def noise(reference: Reference, answers: Sequence[Answered]) -> float:
    """Return the largest change of a token's log-probability between alone and one padded batch, in nats."""
    known = [a for a in answers if a.tokens]
    together = forced(reference.model, known)
    largest = 0.0
    for row, one in enumerate(known):
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
    """Judge the answers, and the change of log-probabilities where the model gives them: equal texts can hide a
    change."""
    found = dict(figures or {})
    problems: list[str] = []
    if subject.own and any(a.tokens for a in answers):
        found["noise"] = change = noise(subject.own, answers)
        if not change <= subject.own.near_tie:
            problems.append(
                f"log-probabilities of the same text change by {change:.3g} nats, more than {subject.own.near_tie:g}"
            )
    return judge(name, comparisons, problems, found)
