"""From a model's name on the command line to the model: `backend/name`, or a shipped checkpoint's name."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.models.base.checkpoint_files import checkpoint_files
from eidolon.models.base.options import construct
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import user_path
from eidolon.scorers.core.registry import Registry

if TYPE_CHECKING:
    from eidolon.models.base.model import FileDigest, Model

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
"""Each is called with what follows `name/` and the options, and returns a model."""

TRANSPORT_OPTIONS = {"openai": ("concurrency", "timeout", "retries", "price_in", "price_out")}
"""Options by backend that change how an answer is fetched, not what is asked: a run may go on with others."""

MEMORY = "memory"
"""`memory/VARIANT` is a shipped checkpoint of the memory family, which the transformers backend runs."""

ONE_PROCESS = {
    "openai": "its server does the work, and -M concurrency=N asks it for more at once",
    "replay": "it only reads a file",
    "vllm": "-M tensor_parallel_size=N lets N GPUs share it",
}
"""Backends that several processes would not make faster, or could not hold (vLLM makes process groups of its own), and
what to say to who wants them."""

DEFAULT_BATCH = 16
BATCHES = {"vllm": 256}
"""Requests that a backend is best handed at once, where that is not `DEFAULT_BATCH`: vLLM makes batches of its own
of all that it has."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SAMPLED_BYTES = 1 << 20
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""What PyTorch writes as pickles."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A name that has been checked: which backend, and what it is to load."""

    text: str
    """As the user wrote it."""
    backend: str
    target: str

    @property
    def slug(self) -> str:
        """The name as a folder's name."""
        return re.sub(r"[^A-Za-z0-9._]+", "-", self.text).strip("-.")[-120:] or "model"


def resolve(text: str) -> ModelReference:
    """Check a model's name without loading anything; a UserError says what is wrong with it."""
    from eidolon.models.base.shipped import NOT_INSTALLED, shipped_models

    backend, slash, target = text.partition("/")
    shipped = shipped_models()
    if not slash:
        if text in shipped:
            return ModelReference(text, "transformers", str(shipped[text]))
        if text in backends.names():
            raise UserError(f"--model {text!r}: name what the backend is to load: {text}/NAME")
        if not shipped:
            raise UserError(f"--model {text!r}: {NOT_INSTALLED}")
        raise UserError(f"--model {text!r}: no shipped model of this name{did_you_mean(text, [*shipped])}")
    if backend == MEMORY:
        return ModelReference(text, "transformers", _memory_target(text, target))
    if backend not in backends.names():
        mend = did_you_mean(backend, backends.names())
        raise UserError(
            f"--model {text!r}: unknown backend {backend!r}{mend} (models are named backend/name)"
        )
    if not target:
        raise UserError(f"--model {text!r}: nothing follows the backend; write {backend}/NAME")
    if backend in ("transformers", "vllm"):
        target = resolve_checkpoint(f"--model {text!r}", target, shipped)
    elif backend == "replay" and not os.path.isfile(user_path(target)):
        raise UserError(f"--model {text!r}: no such file: {target}")
    elif backend == "openai":
        from eidolon.models.backends.endpoint import parse_address

        parse_address("--model ", text, target)
    return ModelReference(text, backend, target)


def _memory_target(text: str, target: str) -> str:
    """Return the folder of `memory/VARIANT`, a shipped variant or a folder."""
    from eidolon.models.base.shipped import NOT_INSTALLED, memory_models

    variants = memory_models()
    if target in variants:
        return str(variants[target])
    if target and os.path.exists(user_path(target)):
        return resolve_checkpoint(f"--model {text!r}", target, {})
    if not variants:
        raise UserError(f"--model {text!r}: {NOT_INSTALLED}")
    mend = did_you_mean(target, [*variants]) or f" (one of {', '.join(variants)}, or a folder)"
    raise UserError(f"--model {text!r}: no such variant of the memory family{mend}")


def load_model(name: str | ModelReference, options: Mapping[str, str] | None = None) -> "Model":
    """Load a model. A wrong name, and an option that its backend lacks, are UserErrors."""
    reference = resolve(name) if isinstance(name, str) else name
    return construct(
        backends.get(reference.backend),
        options or {},
        reference.target,
        flag="-M",
        what=f"model backend {reference.backend!r}",
    )


def preferred_batch(reference: ModelReference) -> int:
    """Return how many requests to hand a model at once, where the user does not say."""
    return BATCHES.get(reference.backend, DEFAULT_BATCH)


def deciding_options(reference: ModelReference, options: Mapping[str, str]) -> dict[str, str]:
    """Return the options that can change what a model answers."""
    transport = TRANSPORT_OPTIONS.get(reference.backend, ())
    return {key: value for key, value in options.items() if key not in transport}


def identity(
    reference: ModelReference, options: Mapping[str, str], digest: "FileDigest"
) -> dict[str, Any] | None:
    """Return what decides a model's answers beside the requests, without loading it (`IdentifiedBackend`).

    None where its backend cannot tell: then no answer of it may stand for another.
    """
    from eidolon.models.base.identity import own_code
    from eidolon.models.base.model import IdentifiedBackend

    backend = backends.get(reference.backend)
    found = (
        backend.identity(reference.target, options, digest)
        if isinstance(backend, IdentifiedBackend)
        else None
    )
    return None if found is None else {"backend": reference.backend, "eidolon": own_code(), **found}


def content_hash(reference: ModelReference) -> str | None:
    """Return a hash of the local files a model is made of, or None where there are none.

    Files beyond 2 MiB enter with their size, first and last MiB (of weights: the tensor table, and tensors
    that training changes), so that a checkpoint of many gigabytes takes no longer than a small one.
    """
    if reference.backend == "python":
        path = user_path(reference.target.rpartition(":")[0])
        found = os.path.isfile(path)  # an importable module's name is no file's
    else:
        path = user_path(reference.target)
        found = os.path.exists(path)
    if not found:
        return None
    digest = hashlib.sha256()
    files = {".": path} if path.is_file() else checkpoint_files(path)
    for name, file in files.items():
        size = file.stat().st_size
        digest.update(f"{name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_SAMPLED_BYTES if size > 2 * _SAMPLED_BYTES else size))
            if size > 2 * _SAMPLED_BYTES:
                stream.seek(-_SAMPLED_BYTES, os.SEEK_END)
                digest.update(stream.read())
    return digest.hexdigest()


def resolve_checkpoint(given: str, target: str, shipped: Mapping[str, Path]) -> str:
    """Return the folder, or the hub name, of a transformers checkpoint, having loaded nothing.

    What is neither, or cannot be had offline, is a UserError that begins with what the user gave.
    """
    path = user_path(target)
    if os.path.exists(path):  # unlike Path.exists, also where the name is too long for a file
        if not (path / "config.json").is_file():
            raise UserError(f"{given}: {target} is not a model folder: it holds no config.json")
        _refuse_pickles(given, path)
        return str(path)
    if target in shipped:
        return str(shipped[target])
    first = Path(path.parts[0])
    if not _HUB_NAME.fullmatch(target) or os.path.exists(first):
        raise UserError(f"{given}: the model path {target!r} does not exist")
    if _offline() and not _cached(target):
        raise UserError(
            f"{given}: {target!r} is neither a folder here nor in the local Hub cache, "
            "and HF_HUB_OFFLINE forbids to download it"
        )
    return target


def _refuse_pickles(given: str, folder: Path) -> None:
    """Raise a UserError where weights are there as pickles alone, which run code when they are read."""
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if pickles:
        raise UserError(
            f"{given}: its weights are a pickle ({pickles[0]}), which can run any code; convert them to safetensors"
        )


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _cached(repository: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, "config.json"), str)
