"""The files of a checkpoint: which there are, a hash of them, and whether a name is one."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from eidolon.models.base.backend import FileDigest
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import user_path

INDEX = "model.safetensors.index.json"
"""The file in which transformers looks up which file has which tensor; that may be a file in another folder."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Suffixes of the files that PyTorch writes as pickles."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SMALL_BYTES = 1 << 21


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """Return the files that a checkpoint's answers depend on, by path relative to the folder, sorted.

    These are all files in the folder but model cards and hidden files, and the files that its index names.
    """
    inside = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    found = _indexed(folder) | inside
    return {
        name: file
        for name, file in sorted(found.items())
        if file.suffix != ".md" and not file.name.startswith(".") and file.is_file()
    }


def _indexed(folder: Path) -> dict[str, Path]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return {str(name): folder / str(name) for name in index["weight_map"].values()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # no index, or a broken one, which is reported when the checkpoint is loaded


def local_files(target: str) -> dict[str, Path]:
    """Return the files of a path: one file as `.`, or a checkpoint folder's; none if the path does not exist."""
    path = user_path(target)
    if not os.path.exists(path):  # unlike Path.exists, it accepts a name too long for a file
        return {}
    return {".": path} if path.is_file() else checkpoint_files(path)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal, read as a stream."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(files: Mapping[str, Path], digest: FileDigest = file_sha256) -> str | None:
    """Return the SHA-256, in hexadecimal, of files and their names; None without files.

    Every byte counts. `digest` gives the SHA-256 of a file larger than 2 MiB: it may remember those of files that
    have not changed.
    """
    if not files:
        return None
    found = hashlib.sha256()
    for name, file in files.items():
        size = file.stat().st_size
        found.update(f"{name}\0{size}\0".encode())
        found.update(digest(file).encode() if size > _SMALL_BYTES else file.read_bytes())
    return found.hexdigest()


def resolve_checkpoint(given: str, target: str, shipped: Mapping[str, Path]) -> str:
    """Return the folder or the hub name of a transformers checkpoint. Loads nothing.

    `shipped` are folders by name that `target` may name. `given` is what the user wrote and starts a message.

    Raises:
        UserError: the target is neither a checkpoint's folder nor a hub name, its weights are pickles, or downloads
            are forbidden and it is not in the cache.
    """
    path = user_path(target)
    if os.path.exists(path):
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
    """Raise a UserError if a folder has weights as pickles only: loading a pickle can run any code."""
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
