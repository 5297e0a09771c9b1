"""What a checkpoint's answers depend on, without loading it: the content of its files and library versions.

The text that a chat template makes of a prompt is a function of the prompt, the template (one of the files), the
options and the versions. So it needs no entry of its own. If the template uses the date, there is no identity.
"""

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from eidolon.models.base.backend import FileDigest
from eidolon.models.base.checkpoint_files import checkpoint_files
from eidolon.scorers.core.input_files import user_path

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "sentencepiece",
    "tiktoken",
    "jinja2",
    "numpy",
    "pillow",
    "torchvision",
    "accelerate",
    "kernels",
    "triton",
    "flash-attn",
    "flash-linear-attention",
    "causal-conv1d",
    "mamba-ssm",
    "bitsandbytes",
)
"""Packages that can change an answer of transformers: tokenizers, image processing, arithmetic, templates."""
ADAPTER_CONFIG = "adapter_config.json"
"""The file of an adapter. It names a base model, but not its version."""
DATE_CALL = b"strftime_now"
"""The function that a chat template calls for the date."""
_TEMPLATES = ("*.jinja", "chat_template.json", "tokenizer_config.json", "processor_config.json")


def checkpoint_identity(target: str, revision: str, digest: FileDigest) -> dict[str, Any] | None:
    """Return the content of a checkpoint, JSON-ready: the hashes of its files, or the commit of a Hub repository.

    None for an adapter, and if the chat template uses the date.
    """
    path = user_path(target)
    if not os.path.exists(path):
        return _hub_identity(target, revision)
    files = checkpoint_files(path)
    if ADAPTER_CONFIG in files or _asks_for_the_date(path):
        return None
    return {"files": {name: digest(file) for name, file in files.items()}}


def _hub_identity(repository: str, revision: str) -> dict[str, Any] | None:
    """Resolve a revision as loading does: the newest commit if the Hub can be reached, else the cached one."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        config = Path(hf_hub_download(repository, "config.json", revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError):
        return None  # loading the checkpoint will report it
    snapshot = config.parent
    if (snapshot / ADAPTER_CONFIG).exists() or _asks_for_the_date(snapshot):
        return None
    return {"hub": repository, "commit": snapshot.name}


def _asks_for_the_date(folder: Path) -> bool:
    templates = (file for pattern in _TEMPLATES for file in folder.rglob(pattern))
    return any(DATE_CALL in file.read_bytes() for file in templates if file.is_file())


def versions(packages: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def own_code() -> str:
    """Return a hash of this package's source, which makes requests of prompts and responses of tokens.

    A version number stays the same while code is being written.
    """
    folder = Path(__file__).parent.parent
    content = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        content.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return content.hexdigest()
