"""The check that answers depend on the image."""

from dataclasses import replace

from eidolon.benchmark.store.diagnosis import Check
from eidolon.benchmark.verify.doctor.parity import compare, renamed
from eidolon.benchmark.verify.doctor.subject import Subject
from eidolon.benchmark.verify.doctor.verdicts import judge
from eidolon.models.base.model import Request


def image(subject: Subject) -> Check:
    """Answer each request with the image of the next sample. The answer must change to that of the next sample."""
    own = subject.requests
    following = [*range(1, len(own)), 0]
    swapped = [replace(r, image=own[j].image) for r, j in zip(own, following, strict=True)]
    answers = subject.ask(swapped)
    expected = [subject.together[j] for j in following]
    # The same images under other ids: a difference depends on the id or on the position in the batch.
    named = {a.request.sample_id: e.request for a, e in zip(answers, expected, strict=True)}
    parity = compare(expected, renamed(answers, named), subject.reference)
    changed = sum(
        a.response.response != b.response.response for a, b in zip(subject.together, answers, strict=True)
    )
    figures: dict[str, int | float | str] = {"answers that changed": changed}
    problems: list[str] = []
    if subject.own:
        shifts = _shifts(subject, swapped)
        figures["smallest shift"] = min(shifts)
        if unchanged := sum(shift <= subject.own.near_tie for shift in shifts):
            problems.append(f"another image changes no log-probability of {unchanged} answers")
    elif not changed:
        problems.append("no answer changed with the image")
    return judge("image", [parity], problems, figures)


def _shifts(subject: Subject, swapped: list[Request]) -> list[float]:
    """Return, for each answer, the largest change of any token's log-probability with another image, in nats."""
    import torch

    from eidolon.models.probing.teacher_forcing import teacher_force

    assert subject.own is not None
    model = subject.own.model
    # An empty answer is compared by the probabilities of its first token.
    tokens = [answer.tokens or (model.pad_id,) for answer in subject.together]
    shifts = torch.zeros(len(tokens))
    pairs = zip(
        teacher_force(model, subject.requests, tokens), teacher_force(model, swapped, tokens), strict=True
    )
    for with_own, with_other in pairs:
        change = (with_own.log_probabilities() - with_other.log_probabilities()).abs().amax(dim=1)
        shifts = torch.maximum(shifts, change.cpu())
    return [float(shift) for shift in shifts]
