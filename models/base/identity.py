"""What a checkpoint's answers come from, told without loading it: the content of its files, and what reads them.

The text that a chat template makes of a prompt is a function of the prompt, of the template (one of the files),
of the options and of the versions named here; so these stand for it. Where it is not, because the template asks
for the date, there is no identity.
"""

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.models.base.checkpoint_files import checkpoint_files
from eidolon.scorers.core.input_files import user_path

if TYPE_CHECKING:
    from eidolon.models.base.model import FileDigest

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
"""What may take part in an answer of transformers: text in, pixels in, arithmetic, text out."""
BASE_ELSEWHERE = "adapter_config.json"
"""Of an adapter, whose base model is loaded by a name that this folder does not pin."""
CLOCK = b"strftime_now"
"""What a chat template calls to put the date into the prompt."""
_TEMPLATES = ("*.jinja", "chat_template.json", "tokenizer_config.json", "processor_config.json")


def checkpoint_identity(target: str, revision: str, digest: "FileDigest") -> dict[str, Any] | None:
    """Return what names the content of a checkpoint: its files' hashes, or the commit of a Hub repository.

    None for an adapter and for a template that asks for the date.
    """
    path = user_path(target)
    if not os.path.exists(path):
        return _hub_identity(target, revision)
    files = checkpoint_files(path)
    if BASE_ELSEWHERE in files or _asks_for_the_date(path):
        return None
    return {"files": {name: digest(file) for name, file in files.items()}}


def _hub_identity(repository: str, revision: str) -> dict[str, Any] | None:
    """Resolve a revision as loading does: the newest commit where the Hub can be asked, else the one that is here."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        config = Path(hf_hub_download(repository, "config.json", revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError):
        return None  # loading it will say in one line what is wrong
    snapshot = config.parent
    if (snapshot / BASE_ELSEWHERE).exists() or _asks_for_the_date(snapshot):
        return None
    return {"hub": repository, "commit": snapshot.name}


def _asks_for_the_date(folder: Path) -> bool:
    templates = (file for pattern in _TEMPLATES for file in folder.rglob(pattern))
    return any(CLOCK in file.read_bytes() for file in templates if file.is_file())


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


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read as a stream."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
