"""The installed distribution: its version, and the extras that install what only a part of Eidolon needs."""

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "eidolon-bench"
"""The name of the installed distribution. PyPI's `eidolon` is another project."""
UNKNOWN = "unknown"
EXTRAS = {
    "accelerate": "models",
    "safetensors": "models",
    "sentence_transformers": "embeddings",
    "tokenizers": "models",
    "torch": "models",
    "torchvision": "vision",
    "transformers": "models",
    "vllm": "vllm",
}
"""The extra that installs a package, by the name of the module that is imported."""


def package_version() -> str:
    """Return the installed version of Eidolon, `unknown` when it runs uninstalled."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return UNKNOWN


def how_to_install(error: ModuleNotFoundError) -> str | None:
    """Return what is missing and the command that installs it, None where no extra installs that module."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    return None if extra is None else f"needs the package {package}; {install(extra)}"


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
