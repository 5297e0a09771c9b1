"""Responses that models gave in earlier runs: one SQLite file, shared by all runs of a user.

A response is found again by a hash of everything that decides it, and by nothing else: what the model is
(`models.backends.registry.identity`), the picture's pixels, the prompt and the decoding. The ids of the sample are
not part of it. The file may be deleted at any time. Whatever goes wrong with it costs a warning and no run.
"""

import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from eidolon.models.base.identity import file_sha256
from eidolon.models.base.model import Request
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import user_path

FOLDER_VARIABLE, SIZE_VARIABLE = "EIDOLON_CACHE", "EIDOLON_CACHE_MAX_MB"
MAX_MB = 4096
"""How large the file may grow unless the user says otherwise, megabytes of 10⁶ bytes."""
FILE = "responses-1.sqlite3"
"""The number is that of the tables below; another form of them is another file."""
LOCK_WAIT_S = 2.0
"""How long another process may write before a run goes on without the cache."""
USED_EVERY_S = 3600
"""A response that is used is marked so at most this often: reading should not write."""
KEPT_SHARE = 0.9
"""How much of the largest size is left once the oldest have made room."""
_VARIABLES = 500
"""Keys in one query; SQLite takes no arbitrary number."""

_TABLES = """
CREATE TABLE IF NOT EXISTS models
  (id TEXT, name TEXT, target TEXT, identity TEXT NOT NULL, description TEXT NOT NULL,
   PRIMARY KEY (id, name, target));
CREATE TABLE IF NOT EXISTS responses
  (key BLOB PRIMARY KEY, model TEXT NOT NULL, body TEXT NOT NULL, digest BLOB NOT NULL, used INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS responses_used ON responses (used);
CREATE INDEX IF NOT EXISTS responses_model ON responses (model);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stat TEXT NOT NULL, sha256 TEXT NOT NULL);
"""

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Called:
    """Under which name the user knows a model, and what is loaded for it."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What the cache holds of one model."""

    name: str
    states: int
    """Different weights, options, versions, … under this name."""
    responses: int
    size: int
    """Bytes of the responses."""
    used: int
    """When one of them was last used, seconds since 1970."""


def canonical(value: object) -> str:
    """Return the one JSON text of a value. Raises ValueError for what is not finite."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def model_id(identity: Mapping[str, Any]) -> str:
    """Return the hash that stands for a model in keys."""
    return hashlib.sha256(canonical(identity).encode()).hexdigest()


def request_key(model: str, request: Request) -> bytes:
    """Return the key of the response to a request by a model (`model_id`).

    Decoding enters with every field; the seed only where chance decides anything, so that other runs share what
    is greedy.
    """
    decoding = asdict(request.decoding)
    if not request.decoding.sampled:
        del decoding["seed"]
    material = {
        "model": model,
        "picture": picture_hash(request.image),
        "prompt": request.prompt,
        "decoding": decoding,
        "is_question": request.is_question,
    }
    return hashlib.sha256(canonical(material).encode()).digest()


def picture_hash(image: Image.Image) -> str:
    """Return a hash of mode, size and pixels, with the palette of a picture that has one."""
    palette = image.getpalette("RGBA") if image.mode in ("P", "PA") else None
    shape = canonical([image.mode, image.size, palette, repr(image.info.get("transparency"))])
    digest = hashlib.sha256(shape.encode() + b"\0")
    digest.update(image.tobytes())
    return digest.hexdigest()


def cache_folder() -> Path | None:
    """Return the folder of the cache: `$EIDOLON_CACHE`, else the user's own; None where there is no home."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return user_path(given)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The specification has relative paths ignored.
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "eidolon"
    except RuntimeError:
        return None


def largest_size() -> int:
    """Return the bound on the file in bytes; a wrong `$EIDOLON_CACHE_MAX_MB` is a UserError."""
    given = os.environ.get(SIZE_VARIABLE, "")
    if given and not (given.isascii() and given.isdigit()):
        raise UserError(f"{SIZE_VARIABLE}={given}: must be a whole number of megabytes; 0 keeps nothing")
    return int(given or MAX_MB) * 10**6


def open_cache() -> "ResponseCache | None":
    """Return the cache that the environment names, opened when it is first used; None where there is none."""
    folder, size = cache_folder(), largest_size()
    return ResponseCache(CacheFile(folder / FILE, size)) if folder is not None and size else None


class CacheFile:
    """The file. Every method may raise `sqlite3.Error` or `OSError`."""

    def __init__(self, path: Path, largest: int, clock: Callable[[], float] = time.time) -> None:
        """Take where it is, its largest size in bytes, and who tells the time. Opens nothing."""
        self.path = path
        self._largest, self._clock = largest, clock
        self._connection: sqlite3.Connection | None = None

    def find(self, keys: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
        """Return the fields of the responses that are there; one that is not as it was written is not."""
        found: dict[bytes, dict[str, Any]] = {}
        for start in range(0, len(keys), _VARIABLES):
            some = keys[start : start + _VARIABLES]
            rows = self._open().execute(
                f"SELECT key, body, digest FROM responses WHERE key IN ({','.join('?' * len(some))})", some
            )
            found |= {key: json.loads(body) for key, body, digest in rows if digest == _digest(key, body)}
        return found

    def store(self, model: str, fields: Mapping[bytes, Mapping[str, Any]], used: Sequence[bytes]) -> None:
        """Keep responses of a model, and mark those that were used, in one transaction; make room if it takes."""
        now = int(self._clock())
        bodies = {key: canonical(body) for key, body in fields.items()}
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO responses (key, model, body, digest, used) VALUES (?, ?, ?, ?, ?)",
                [(key, model, body, _digest(key, body), now) for key, body in bodies.items()],
            )
            connection.executemany(
                "UPDATE responses SET used = ? WHERE key = ? AND used < ?",
                [(now, key, now - USED_EVERY_S) for key in used],
            )
        self._make_room()

    def is_stale(self, keys: Sequence[bytes]) -> bool:
        """Tell whether any of the responses was not marked as used for a while."""
        before = int(self._clock()) - USED_EVERY_S
        for start in range(0, len(keys), _VARIABLES):
            some = keys[start : start + _VARIABLES]
            query = f"SELECT 1 FROM responses WHERE key IN ({','.join('?' * len(some))}) AND used < ? LIMIT 1"
            if self._open().execute(query, [*some, before]).fetchone():
                return True
        return False

    def description(self, model: str, called: Called) -> dict[str, Any] | None:
        """Return what a model said of itself when it was loaded by that name and from there."""
        query = "SELECT description FROM models WHERE id = ? AND name = ? AND target = ?"
        row = self._open().execute(query, (model, called.name, called.target)).fetchone()
        return None if row is None else json.loads(row[0])

    def describe(
        self, model: str, called: Called, identity: Mapping[str, Any], description: Mapping[str, Any]
    ) -> None:
        """Keep what a model says of itself, and what it is."""
        row = (model, called.name, called.target, canonical(identity), json.dumps(description))
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?)", row)

    def file_digest(self, path: Path) -> str:
        """Return the SHA-256 of a file, without reading one again that has not changed."""
        place, stat = str(path.resolve()), path.stat()
        state = canonical([stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
        row = (
            self._open().execute("SELECT sha256 FROM files WHERE path = ? AND stat = ?", (place, state))
        ).fetchone()
        if row is not None:
            return str(row[0])
        found = file_sha256(path)
        # A file that was written a moment ago can be written again without its times telling.
        if self._clock() - stat.st_mtime > LOCK_WAIT_S:
            with self._transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (place, state, found))
        return found

    def kept(self) -> list[Kept]:
        """Return what there is of each model, by name."""
        if not self.path.exists():
            return []
        rows = self._open().execute(
            "SELECT m.name, COUNT(DISTINCT m.id), COUNT(r.key), COALESCE(SUM(LENGTH(r.body)), 0), "
            "COALESCE(MAX(r.used), 0) FROM (SELECT DISTINCT id, name FROM models) m "
            "LEFT JOIN responses r ON r.model = m.id GROUP BY m.name ORDER BY m.name"
        )
        return [Kept(*row) for row in rows]

    def count(self) -> int:
        """Return the number of responses."""
        if not self.path.exists():
            return 0
        return int(self._open().execute("SELECT COUNT(*) FROM responses").fetchone()[0])

    def clear(self, name: str | None = None) -> int:
        """Delete the responses of the models under a name, or all, and give the room back; return how many."""
        if not self.path.exists():
            return 0
        chosen, values = ("", ()) if name is None else ("WHERE name = ?", (name,))
        with self._transaction() as connection:
            found = connection.execute(
                f"DELETE FROM responses WHERE model IN (SELECT id FROM models {chosen})", values
            ).rowcount
            # Names that stood for the same model have lost their responses too.
            connection.execute("DELETE FROM models WHERE id NOT IN (SELECT model FROM responses)")
            if name is None:
                connection.execute("DELETE FROM files")
        self._open().execute("VACUUM")
        self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return found

    def size(self) -> int:
        """Return the bytes of the file that are in use."""
        connection = self._open()
        pages, free, page = (
            int(connection.execute(f"PRAGMA {what}").fetchone()[0])
            for what in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * page

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _make_room(self) -> None:
        if self.size() <= self._largest:
            return
        while self.size() > KEPT_SHARE * self._largest and (count := self.count()):
            with self._transaction() as connection:
                connection.execute(
                    "DELETE FROM responses WHERE rowid IN (SELECT rowid FROM responses ORDER BY used, rowid LIMIT ?)",
                    (max(1, count // 20),),
                )

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=LOCK_WAIT_S, isolation_level=None)
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


class ResponseCache:
    """The cache as a run sees it: after the first fault it warns, and is empty from then on."""

    def __init__(self, file: CacheFile) -> None:
        self._file = file
        self.works = True

    def find(self, keys: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
        """Return the fields of the responses that are there."""
        return self._guard(lambda: self._file.find(keys), {})

    def store(self, model: str, fields: Mapping[bytes, Mapping[str, Any]], used: Sequence[bytes]) -> None:
        """Keep responses of a model, and mark those that were used."""
        self._guard(lambda: self._store(model, fields, used), None)

    def description(self, model: str, called: Called) -> dict[str, Any] | None:
        """Return what a model said of itself when it was loaded by that name and from there."""
        return self._guard(lambda: self._file.description(model, called), None)

    def describe(
        self, model: str, called: Called, identity: Mapping[str, Any], description: Mapping[str, Any]
    ) -> None:
        """Keep what a model says of itself."""
        self._guard(lambda: self._file.describe(model, called, identity, description), None)

    def file_digest(self, path: Path) -> str:
        """Return the SHA-256 of a file. One that cannot be read is an OSError."""
        path.stat()
        found = self._guard(lambda: self._file.file_digest(path), "")
        return found or file_sha256(path)

    def close(self) -> None:
        """Let go of the file."""
        self._guard(self._file.close, None)

    def _store(self, model: str, fields: Mapping[bytes, Mapping[str, Any]], used: Sequence[bytes]) -> None:
        if fields or self._file.is_stale(used):
            self._file.store(model, fields, used)

    def _guard(self, act: Callable[[], T], otherwise: T) -> T:
        if not self.works:
            return otherwise
        try:
            return act()
        except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: what is stored is no JSON
            self.works = False
            logger.warning(
                "the response cache %s cannot be used (%s); the run goes on without it",
                self._file.path,
                error,
            )
            return otherwise


def remove(name: str | None) -> tuple[Path | None, int]:
    """Delete the responses of the models under a name, or all; return where they were, and how many."""
    file = find_file()
    if file is None:
        return None, 0
    with _for_the_user(file):
        names = [kept.name for kept in file.kept()]
        if name is not None and name not in names:
            raise UserError(
                f"--clear {name!r}: the cache has no model of this name{did_you_mean(name, names)}"
            )
        return file.path, file.clear(name)


def look() -> tuple[Path | None, int, list[Kept]]:
    """Return where the cache is, the bytes of its file, and what it holds of each model."""
    file = find_file()
    if file is None:
        return None, 0, []
    with _for_the_user(file):
        kept = file.kept()
        return file.path, file.size() if file.path.exists() else 0, kept


def find_file() -> CacheFile | None:
    """Return the file that the environment names, whether or not it is there."""
    folder = cache_folder()
    return None if folder is None else CacheFile(folder / FILE, largest_size())


@contextmanager
def _for_the_user(file: CacheFile) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"{file.path}: the response cache cannot be used ({error}); no run needs it, so it may be deleted"
        ) from error
    finally:
        file.close()


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file. The change to a write-ahead log does not wait for others by itself."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _digest(key: bytes, body: str) -> bytes:
    """Return a check of a row: a bit that has fallen over in a file says nothing by itself."""
    return hashlib.sha256(key + body.encode()).digest()[:8]
