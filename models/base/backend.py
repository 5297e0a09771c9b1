"""What a backend class tells about itself before a model is loaded.

A backend is registered by name in `models/backends/registry.py`, or by an entry point of the group `eidolon.models`.
It is called with what follows `name/` on the command line and the `-M` options, and returns a model. Everything else
is optional: a class attribute `traits`, and the class methods of the protocols below. A run asks for them without
loading a model, so the module of a backend must be cheap to import: heavy packages are imported inside functions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTraits:
    """Facts about a backend. The defaults are those of a backend that states none."""

    transport_options: tuple[str, ...] = ()
    """Options that change how an answer is fetched, not what it says. A run may be resumed with other values."""
    one_process: str | None = None
    """Why more than one process does not help, with a better way, for messages; None if it helps."""
    preferred_batch: int = 16
    """Requests per batch, unless the user or the model says otherwise."""
    contrast: bool = False
    """Whether it decodes with `Decoding.contrast`: compares tokens with and without the image."""
    white_box: bool = False
    """Whether its models are `WhiteBoxModel`s."""
    recorded: bool = False
    """Whether its answers are recorded ones, so that a second request tells nothing new."""
    precision_option: str | None = None
    """The option that sets the precision of the weights."""
    prefix_cache_option: str | None = None
    """The option that turns a cache of common prompt starts on and off."""


@runtime_checkable
class TraitedBackend(Protocol):
    """A backend with facts about itself."""

    @property
    def traits(self) -> BackendTraits:
        """The facts; a class attribute."""
        ...


@runtime_checkable
class ResolvingBackend(Protocol):
    """A backend that checks a model's name before anything is loaded."""

    def resolve(self, target: str, given: str) -> str:
        """Return the target that the backend is called with, such as a folder; a class method.

        `target` is what follows `name/` on the command line. `given` is what the user wrote, to start a message with.

        Raises:
            UserError: there is no such model.
        """
        ...


@runtime_checkable
class CheckingBackend(Protocol):
    """A backend that checks a model's options before anything is loaded or written."""

    def check_options(self, options: Mapping[str, str]) -> None:
        """Check the options; a class method.

        Raises:
            UserError: one is unknown or has a wrong value.
        """
        ...


@runtime_checkable
class LocalBackend(Protocol):
    """A backend that says which local files a model is made of. By default that is the target, a file or a folder."""

    def content_files(self, target: str) -> Mapping[str, Path]:
        """Return the files by a name that does not depend on their location; a class method. May be empty."""
        ...


FileDigest: TypeAlias = Callable[[Path], str]
"""Returns the SHA-256 of a file's content, in hexadecimal. It may cache the digest of an unchanged file."""


@runtime_checkable
class IdentifiedBackend(Protocol):
    """A backend that says, before it loads a model, what the answers depend on. This enables the answer cache.

    The answers must not depend on the ids of a request: only on image, prompt and decoding.
    """

    def identity(self, target: str, options: Mapping[str, str], digest: FileDigest) -> dict[str, Any] | None:
        """Return, JSON-ready, everything beside a request that can change its answer; None if that is unknown.

        It is a class method. Two models that could answer differently must differ here: weights, template, processor,
        every option, versions, precision, the kind of device.
        """
        ...
