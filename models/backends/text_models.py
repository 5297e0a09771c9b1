"""Language models for judges, by name: `transformers/NAME`, `openai/MODEL@URL`, or a shipped judge's name.

The returned models have loaded nothing, but the packages that they need are installed. Weights are read, and torch is
imported, with the first prompt.
"""

from collections.abc import Callable, Mapping
from inspect import signature

from eidolon.models.backends.registry import CHECKPOINT_BACKEND, ModelReference
from eidolon.models.base.backend import ResolvingBackend
from eidolon.models.base.shipped import NOT_INSTALLED, shipped_judges
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.core.registry import Registry

backends: "Registry[Callable[..., LanguageModel]]" = Registry(
    "language model backend",
    "eidolon.text_models",
    {
        "transformers": "eidolon.models.backends.text_transformers:TransformersText",
        "openai": "eidolon.models.backends.text_endpoint:EndpointText",
    },
)
"""Backends by name. Each is called with a `ModelReference`, a name for the model, and its options by keyword.

It may be a `ResolvingBackend`, which checks the model's name.
"""


def language_models(
    names: str | None, options: Mapping[str, str], *, taken: tuple[str, ...] = ()
) -> tuple[LanguageModel, ...]:
    """Return the language models of `-J models=A,B,C`; without names, all shipped judges.

    Each gets the options that its backend has. `taken` are the options of the judge itself, for messages.

    Raises:
        UserError: a name is wrong or given twice, or no backend has an option.
    """
    references = _resolve_all(names)
    factories = {reference.backend: backends.get(reference.backend) for reference in references}
    takes = {backend: _options_of(factory) for backend, factory in factories.items()}
    for key, value in options.items():
        if not any(key in known for known in takes.values()):
            known = [*taken, *dict.fromkeys(name for found in takes.values() for name in found)]
            raise UserError(
                f"-J {key}={value}: neither the judge nor its models have this option{did_you_mean(key, known)}"
            )
    return tuple(
        factories[reference.backend](
            reference,
            name,
            **{key: value for key, value in options.items() if key in takes[reference.backend]},
        )
        for reference, name in zip(references, unique_names(references), strict=True)
    )


def unique_names(references: tuple[ModelReference, ...]) -> tuple[str, ...]:
    """Return the last part of each model's path. Equal ones are numbered (`flan.1`, `flan.2`)."""
    last = [_last_part(reference) for reference in references]
    return tuple(
        name if last.count(name) == 1 else f"{name}.{last[: i + 1].count(name)}"
        for i, name in enumerate(last)
    )


def _resolve_all(names: str | None) -> tuple[ModelReference, ...]:
    if names is None:
        shipped = shipped_judges()
        if not shipped:
            raise UserError(
                f"-J models: {NOT_INSTALLED}; or name language models, for example "
                "-J models=transformers/google/flan-t5-base"
            )
        return tuple(ModelReference(name, CHECKPOINT_BACKEND, str(path)) for name, path in shipped.items())
    references = tuple(_resolve(name.strip()) for name in names.split(","))
    found: set[tuple[str, str]] = set()
    for reference in references:
        if (reference.backend, reference.target) in found:
            raise UserError(f"-J models={names}: names {reference.text!r} twice")
        found.add((reference.backend, reference.target))
    return references


def _resolve(text: str) -> ModelReference:
    given = f"-J models={text}"
    backend, slash, target = text.partition("/")
    shipped = shipped_judges()
    if not slash:
        if text in shipped:
            return ModelReference(text, CHECKPOINT_BACKEND, str(shipped[text]))
        if text in backends.names():
            raise UserError(f"{given}: the name of a model is missing; write {text}/NAME")
        if not shipped:
            raise UserError(f"{given}: {NOT_INSTALLED}")
        raise UserError(
            f"{given}: no shipped judge of this name{did_you_mean(text, [*shipped, *backends.names()])}"
        )
    if backend not in backends.names():
        raise UserError(
            f"{given}: unknown backend {backend!r}{did_you_mean(backend, backends.names())} "
            "(language models are named backend/name)"
        )
    if not target:
        raise UserError(f"{given}: nothing follows the backend; write {backend}/NAME")
    found = backends.get(backend)
    if isinstance(found, ResolvingBackend):
        target = found.resolve(target, given)
    return ModelReference(text, backend, target)


def _last_part(reference: ModelReference) -> str:
    name = reference.target.partition("@http")[0]  # the address of an endpoint is not part of the name
    return name.rstrip("/").rpartition("/")[2] or name


def _options_of(factory: Callable[..., LanguageModel]) -> list[str]:
    return [
        parameter.name
        for parameter in signature(factory).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
