"""From a model's name on the command line to the model: `backend/name`, or a shipped checkpoint's name.

A new backend is one module and one line in `backends`; `models/base/backend.py` says what its class may offer.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eidolon.models.backends.custom import check_plugin_target, load_plugin_model, plugin_files
from eidolon.models.backends.endpoint_address import without_password
from eidolon.models.base.backend import (
    BackendTraits,
    CheckingBackend,
    FileDigest,
    IdentifiedBackend,
    LocalBackend,
    ResolvingBackend,
    TraitedBackend,
)
from eidolon.models.base.checkpoint_files import file_sha256, hash_files, local_files, resolve_checkpoint
from eidolon.models.base.options import construct
from eidolon.models.base.shipped import NOT_INSTALLED, memory_models, shipped_models
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import user_path
from eidolon.scorers.core.registry import Registry

if TYPE_CHECKING:
    from eidolon.models.base.contrast import ContrastDecoding
    from eidolon.models.base.model import Model

backends: "Registry[Callable[..., Model]]" = Registry(
    "model backend",
    "eidolon.models",
    {
        "transformers": "eidolon.models.backends.transformers:TransformersModel",
        "vllm": "eidolon.models.backends.vllm:VllmModel",
        "openai": "eidolon.models.backends.openai:OpenAIModel",
        "replay": "eidolon.models.backends.replay:ReplayModel",
        "python": "eidolon.models.backends.custom:CustomModel",
    },
)
"""Backends by name. Each is called with what follows `name/` and the options, and returns a model."""

CHECKPOINT_BACKEND = "transformers"
"""The backend of shipped checkpoints, which are named without one."""
MEMORY = "memory"
"""`memory/VARIANT` names a checkpoint of the memory family, which runs on `CHECKPOINT_BACKEND` too."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model's name after it has been checked."""

    text: str
    """The name as the user wrote it."""
    backend: str
    """The name of the backend."""
    target: str
    """What the backend is called with."""

    @property
    def slug(self) -> str:
        """The name as a folder's name."""
        return re.sub(r"[^A-Za-z0-9._]+", "-", self.text).strip("-.")[-120:] or "model"


def resolve(text: str) -> ModelReference:
    """Return the reference of a model's name. Loads no model.

    Raises:
        UserError: there is no such model.
    """
    backend, slash, target = text.partition("/")
    given = f"--model {without_password(text)!r}"
    if not slash:
        shipped = shipped_models()
        if text in shipped:
            return ModelReference(text, CHECKPOINT_BACKEND, str(shipped[text]))
        if backends.plugin(text) is not None:
            check_plugin_target(given, text, backends.get(text), "")
            return ModelReference(text, text, "")
        if text in backends.names():
            raise UserError(f"{given}: the name of a model is missing; write {text}/NAME")
        if not shipped:
            raise UserError(f"{given}: {NOT_INSTALLED}")
        raise UserError(f"{given}: no shipped model of this name{_meant(text, [*shipped])}")
    if backend == MEMORY:
        return ModelReference(text, CHECKPOINT_BACKEND, _memory_target(given, target))
    if backend not in backends.names():
        raise UserError(f"{given}: unknown backend {backend!r}{_meant(text, backends.names())}")
    if not target:
        raise UserError(f"{given}: nothing follows the backend; write {backend}/NAME")
    found = backends.get(backend)
    if backends.plugin(backend) is not None:
        check_plugin_target(given, backend, found, target)
    if isinstance(found, ResolvingBackend):
        target = found.resolve(target, given)
    return ModelReference(text, backend, target)


def _meant(text: str, known: Sequence[str]) -> str:
    """Return a hint for a name without a backend: of a class, a folder, a model of the Hub, or with a typing error."""
    file, colon, kind = text.partition(":")
    if file.endswith(".py"):
        return f"; for a class of your own write python/{file}:{kind if colon else 'CLASS'}"
    if os.path.isdir(text):
        return f"; for the folder of a checkpoint write transformers/{text}"
    backend, slash, target = text.partition("/")
    hint = did_you_mean(backend, known)
    if slash and target and "did you mean" not in hint:
        return f"{hint}; for a model of the Hugging Face Hub write transformers/{text} or vllm/{text}"
    return hint if "did you mean" in hint else f"{hint} (other models are named BACKEND/NAME)"


def _memory_target(given: str, target: str) -> str:
    """Return the folder of `memory/VARIANT`; VARIANT is a shipped variant or a folder."""
    variants = memory_models()
    if target in variants:
        return str(variants[target])
    if target and os.path.exists(user_path(target)):
        return resolve_checkpoint(given, target, {})
    if not variants:
        raise UserError(f"{given}: {NOT_INSTALLED}")
    hint = did_you_mean(target, [*variants]) or f" (one of {', '.join(variants)}, or a folder)"
    raise UserError(f"{given}: no such variant of the memory family{hint}")


def load_model(name: str | ModelReference, options: Mapping[str, str] | None = None) -> "Model":
    """Return a loaded model. `options` are those of `-M key=value`.

    Raises:
        UserError: there is no such model, its backend has no such option, or it cannot be loaded.
    """
    reference = resolve(name) if isinstance(name, str) else name
    backend = backends.get(reference.backend)
    if (plugin := backends.plugin(reference.backend)) is not None:
        return load_plugin_model(reference.text, plugin, backend, reference.target, options or {})
    return construct(
        backend,
        options or {},
        reference.target,
        flag="-M",
        what=f"model backend {reference.backend!r}",
    )


def backend_traits(reference: ModelReference) -> BackendTraits:
    """Return the facts about a model's backend, the defaults if it states none."""
    backend = backends.get(reference.backend)
    return backend.traits if isinstance(backend, TraitedBackend) else BackendTraits()


def check_contrast_support(contrast: "ContrastDecoding | None", reference: ModelReference) -> None:
    """Check that a model's backend supports a contrastive decoding; None, plain decoding, always passes.

    Raises:
        UserError: it does not.
    """
    if contrast is not None and not backend_traits(reference).contrast:
        raise UserError(
            f"--decoding {contrast.name}: model {reference.text!r} is of backend {reference.backend!r}, which cannot "
            f"compare tokens with and without the image; give a {CHECKPOINT_BACKEND}/… model or --decoding plain"
        )


def check_options(reference: ModelReference, options: Mapping[str, str]) -> None:
    """Check a model's options as far as its backend can do so without loading it.

    Raises:
        UserError: one is unknown or has a wrong value.
    """
    backend = backends.get(reference.backend)
    if isinstance(backend, CheckingBackend):
        backend.check_options(options)


def deciding_options(reference: ModelReference, options: Mapping[str, str]) -> dict[str, str]:
    """Return the options that can change a model's answers."""
    transport = backend_traits(reference).transport_options
    return {key: value for key, value in options.items() if key not in transport}


def identity(
    reference: ModelReference, options: Mapping[str, str], digest: FileDigest
) -> dict[str, Any] | None:
    """Return what a model's answers depend on beside the requests (`IdentifiedBackend`). Loads no model.

    None if the backend cannot say; then its answers are not cached.
    """
    from eidolon.models.base.identity import own_code

    backend = backends.get(reference.backend)
    if not isinstance(backend, IdentifiedBackend):
        return None
    found = backend.identity(reference.target, options, digest)
    return None if found is None else {"backend": reference.backend, "eidolon": own_code(), **found}


def content_hash(reference: ModelReference, digest: FileDigest = file_sha256) -> str | None:
    """Return a hash of the local files that a model is made of (`hash_files`), None if there are none.

    The code of a plug-in that names no files is one of them. `digest` returns the SHA-256 of a large file.
    """
    backend = backends.get(reference.backend)
    if isinstance(backend, LocalBackend):
        return hash_files(backend.content_files(reference.target), digest)
    files = local_files(reference.target) if reference.target else {}
    if (plugin := backends.plugin(reference.backend)) is not None:
        files = files | plugin_files(plugin)
    return hash_files(files, digest)
