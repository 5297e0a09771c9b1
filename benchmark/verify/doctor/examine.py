"""Runs all checks of a model, in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from eidolon.benchmark.data.samples import SampleSource
from eidolon.benchmark.engine.cache import remembered_digest
from eidolon.benchmark.engine.generation import describe_model
from eidolon.benchmark.store.diagnosis import Check, Diagnosis
from eidolon.benchmark.store.record import provenance
from eidolon.benchmark.terminal.progress import busy
from eidolon.benchmark.verify.doctor import batching, image, loading, settings
from eidolon.benchmark.verify.doctor.parity import as_reference
from eidolon.benchmark.verify.doctor.subject import MAX_NEW_TOKENS, SAMPLES, Subject, make_requests
from eidolon.models.backends.registry import (
    ModelReference,
    backend_traits,
    content_hash,
    deciding_options,
    load_model,
    resolve,
)
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from eidolon.models.base.model import Model

CHECKS: tuple[Callable[[Subject], Check], ...] = (
    loading.weights,
    settings.length,
    batching.determinism,
    batching.batch,
    batching.padding,
    batching.order,
    image.image,
    settings.seeds,
    loading.precision,
    loading.prefix_cache,
    loading.against,
)


@dataclass(frozen=True, slots=True)
class Examination:
    """The settings of an examination."""

    source: SampleSource
    samples: int = SAMPLES
    max_new_tokens: int = MAX_NEW_TOKENS
    seed: int = 0
    against: ModelReference | None = None
    against_options: Mapping[str, str] = field(default_factory=dict)


def check_examinable(reference: ModelReference) -> None:
    """Raise a UserError for a model with recorded answers, which cannot be asked again."""
    if backend_traits(reference).recorded:
        raise UserError(
            f"--model {reference.text!r}: its answers are recorded; the doctor needs a model that can be asked"
        )


def resolve_against(text: str) -> ModelReference:
    """Return the reference of `--against`.

    Raises:
        UserError: the model cannot be compared with. It is raised before a model is loaded.
    """
    try:
        reference = resolve(text)
    except UserError as error:
        raise UserError(str(error).replace("--model", "--against", 1)) from error
    if not backend_traits(reference).white_box:
        raise UserError(
            f"--against {text!r}: must be a checkpoint that runs in this process, transformers/PATH, which "
            "gives the probabilities of tokens"
        )
    return reference


def examine(
    reference: ModelReference, options: Mapping[str, str], what: Examination, model: "Model | None" = None
) -> Diagnosis:
    """Run every check and return the diagnosis. `model` is the loaded model; without one it is loaded here."""
    check_examinable(reference)
    requests = make_requests(what.source, what.samples, max_new_tokens=what.max_new_tokens, seed=what.seed)
    with busy(f"{reference.text}: loading"):
        other = None if what.against is None else load_model(what.against, what.against_options)
        model = load_model(reference, options) if model is None else model
    subject = Subject(
        name=reference.text,
        traits=backend_traits(reference),
        model=model,
        requests=requests,
        reference=as_reference(model) or (None if other is None else as_reference(other)),
        against=other,
        twin=lambda changes: load_model(reference, {**options, **changes}),
        described=describe_model(model),
    )
    return Diagnosis(
        model=reference.text,
        options=deciding_options(reference, options),
        model_files=content_hash(reference, remembered_digest()),
        described=dict(subject.described),
        against=None if what.against is None else what.against.text,
        tolerance=None if subject.reference is None else subject.reference.near_tie,
        dataset=what.source.signature(),
        samples=len(requests),
        max_new_tokens=what.max_new_tokens,
        seed=what.seed,
        checks=tuple(_run_check(subject, number) for number in range(len(CHECKS))),
        packages=provenance().packages,
        checked=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _run_check(subject: Subject, number: int) -> Check:
    check = CHECKS[number]
    name = check.__name__.replace("_", " ")
    with busy(f"{subject.name}: check {number + 1} of {len(CHECKS)}, {name}"):
        return check(subject)
