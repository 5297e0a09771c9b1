"""Sentence embeddings: the protocol that a matcher uses, and the models of `sentence-transformers`."""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from eidolon.scorers.core.distribution import install
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.signature import HASH_DIGITS

PACKAGE = "sentence_transformers"
BATCH = 64
"""Texts in one forward pass."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle")
"""File name endings of pickles."""


class Embedder(Protocol):
    """Maps texts to vectors whose cosine measures how alike they are."""

    def signature(self) -> str:
        """Return the source of the vectors, for the score's signature. Loads nothing."""
        ...

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors, shape (texts, dimensions)."""
        ...


class SentenceEmbedder:
    """A model of `sentence-transformers`, by its name on the Hub or the path of its folder. It is loaded at first
    use.

    It runs on the CPU, where a word's vector does not depend on the machine.

    Raises:
        UserError: the package is not installed, or the model cannot be loaded.
    """

    def __init__(self, name: str, flag: str = "-J embeddings=") -> None:
        """Keep the name; messages begin with what the user gave, `flag` and the name."""
        self._given = f"{flag}{name}"
        if importlib.util.find_spec(PACKAGE) is None:
            raise UserError(
                f"{self._given}: needs the package sentence-transformers; {install('embeddings')}"
            )
        self._name = name
        self._model: Any = None
        self._known: dict[str, FloatArray] = {}

    def signature(self) -> str:
        """Return the model's name, and for a folder a hash of its files."""
        folder = Path(self._name)
        if not folder.is_dir():
            return f"embeddings={self._name}"
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
        return f"embeddings={folder.name}#{digest.hexdigest()[:HASH_DIGITS]}"

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors, shape (texts, dimensions). Each text is computed once."""
        missing = sorted({text for text in texts if text not in self._known})
        # Texts of similar length share a batch. What is left of its influence is in the last bits, which similarities
        # are rounded beyond.
        if missing:
            found = self._load().encode(missing, show_progress_bar=False, batch_size=BATCH)
            self._known.update(zip(missing, np.asarray(found, dtype=float), strict=True))
        return np.stack([self._known[text] for text in texts])

    def _load(self) -> Any:
        if self._model is None:
            from sentence_transformers import SentenceTransformer

            _check_folder(Path(self._name), self._given)
            try:
                self._model = SentenceTransformer(
                    self._name,
                    device="cpu",
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                )
            except (OSError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(f"{self._given}: cannot be loaded ({reason})") from error
        return self._model


def _check_folder(folder: Path, given: str) -> None:
    """Refuse a folder whose model runs its own code or is a pickle. Not every version of the package does so itself."""
    if not folder.is_dir():
        return
    try:
        modules = json.loads((folder / "modules.json").read_bytes())
        kinds = [str(module["type"]) for module in modules]
    except FileNotFoundError:
        kinds = []  # a plain checkpoint of transformers
    except (OSError, ValueError, TypeError, LookupError):
        raise UserError(f"{given}: its modules.json cannot be read") from None
    for kind in kinds:
        if not kind.startswith(PACKAGE + "."):
            raise UserError(
                f"{given}: its module {kind!r} runs its own code, which is not allowed; choose another model"
            )
    pickles = [path for path in sorted(folder.rglob("*")) if path.suffix in PICKLES]
    for path in pickles:
        if not any(path.parent.glob("*.safetensors")):
            raise UserError(
                f"{given}: its weights are a pickle ({path.relative_to(folder)}), which can run any "
                "code; convert them to safetensors"
            )
