"""The installed distribution: its version, and the extras that install what only a part of Eidolon needs."""

from importlib.util import find_spec

from eidolon.scorers.core.errors import UserError

DISTRIBUTION = "eidolon-bench"
"""The name of the installed distribution. PyPI's `eidolon` is another project."""
UNKNOWN = "unknown"
EXTRAS = {
    "accelerate": "models",
    "ray": "ray",
    "safetensors": "models",
    "sentence_transformers": "embeddings",
    "sklearn": "learned",
    "tokenizers": "models",
    "torch": "models",
    "torchvision": "vision",
    "transformers": "models",
    "vllm": "vllm",
}
"""The extra that installs a package, by the name of the module that is imported."""


def package_version() -> str:
    """Return the installed version of Eidolon, `unknown` when it runs uninstalled."""
    # Imported here because it takes longer than the rest of the help page.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return UNKNOWN


def how_to_install(error: ModuleNotFoundError) -> str | None:
    """Return what is missing and the command that installs it, None where no extra installs that module."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    return None if extra is None else f"needs the package {package}; {install(extra)}"


def require_packages(given: str, *packages: str) -> None:
    """Check that packages of an extra are installed, without importing them.

    `given` is what the user asked for, to start the message with.

    Raises:
        UserError: a package is missing.
    """
    for package in packages:
        if not _is_installed(package):
            raise UserError(f"{given}: needs the package {package}; {install(EXTRAS[package])}")


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # an import hook refuses it
        return False


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
