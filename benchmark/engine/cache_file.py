"""The file of the response cache: one SQLite database."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eidolon.benchmark.engine.cache_keys import canonical
from eidolon.models.base.checkpoint_files import file_sha256

LOCK_WAIT_S = 2.0
"""The longest wait for another process that writes. After it, a run continues without the cache."""
USED_EVERY_S = 3600
"""The time of last use is written at most this often, so that reading seldom writes."""
KEPT_SHARE = 0.9
"""The share of the largest size that is left after the oldest responses are deleted."""
_VARIABLES = 500
"""Keys per query; SQLite limits their number."""

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


@dataclass(frozen=True, slots=True)
class ModelName:
    """The name by which the user knows a model, and the target that is loaded for it."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class CacheSummary:
    """What the cache holds of one model."""

    name: str
    states: int
    """Number of different weights, options, versions, … under this name."""
    responses: int
    size: int
    """Bytes of the responses."""
    used: int
    """Time of the last use, in seconds since 1970."""


class CacheFile:
    """The file. Every method may raise `sqlite3.Error` or `OSError`."""

    def __init__(self, path: Path, largest: int, clock: Callable[[], float] = time.time) -> None:
        """`largest` is the file's largest size in bytes; `clock` returns the time in seconds since 1970.

        The file is opened at its first use.
        """
        self.path = path
        self._largest, self._clock = largest, clock
        self._connection: sqlite3.Connection | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to open the file itself."""
        return self.__dict__ | {"_connection": None}

    def find(self, keys: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
        """Return the fields of the responses that the file holds, by key. Damaged ones are left out."""
        found: dict[bytes, dict[str, Any]] = {}
        for start in range(0, len(keys), _VARIABLES):
            some = keys[start : start + _VARIABLES]
            rows = self._open().execute(
                f"SELECT key, body, digest FROM responses WHERE key IN ({','.join('?' * len(some))})", some
            )
            found |= {key: json.loads(body) for key, body, digest in rows if digest == _digest(key, body)}
        return found

    def store(self, model: str, fields: Mapping[bytes, Mapping[str, Any]], used: Sequence[bytes]) -> None:
        """Store responses of a model and mark others as used, in one transaction. Delete the oldest if the file is
        too large."""
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
        """Return whether any of the responses was not marked as used within `USED_EVERY_S`."""
        before = int(self._clock()) - USED_EVERY_S
        for start in range(0, len(keys), _VARIABLES):
            some = keys[start : start + _VARIABLES]
            query = f"SELECT 1 FROM responses WHERE key IN ({','.join('?' * len(some))}) AND used < ? LIMIT 1"
            if self._open().execute(query, [*some, before]).fetchone():
                return True
        return False

    def description(self, model: str, name: ModelName) -> dict[str, Any] | None:
        """Return the stored description of a model, None if there is none."""
        query = "SELECT description FROM models WHERE id = ? AND name = ? AND target = ?"
        row = self._open().execute(query, (model, name.name, name.target)).fetchone()
        return None if row is None else json.loads(row[0])

    def describe(
        self, model: str, name: ModelName, identity: Mapping[str, Any], description: Mapping[str, Any]
    ) -> None:
        """Store a model's identity and description."""
        row = (model, name.name, name.target, canonical(identity), json.dumps(description))
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?)", row)

    def file_digest(self, path: Path) -> str:
        """Return the SHA-256 of a file's content in hexadecimal. An unchanged file is read only once."""
        place, stat = str(path.resolve()), path.stat()
        state = canonical([stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
        row = (
            self._open().execute("SELECT sha256 FROM files WHERE path = ? AND stat = ?", (place, state))
        ).fetchone()
        if row is not None:
            return str(row[0])
        found = file_sha256(path)
        # A file written just now may be written again within the resolution of its times.
        # The user may set the time of the last change, but not that of the last change of the entry.
        if self._clock() - max(stat.st_mtime, stat.st_ctime) > LOCK_WAIT_S:
            with self._transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (place, state, found))
        return found

    def summaries(self) -> list[CacheSummary]:
        """Return a summary of each model, sorted by name."""
        if not self.path.exists():
            return []
        rows = self._open().execute(
            "SELECT m.name, COUNT(DISTINCT m.id), COUNT(r.key), COALESCE(SUM(LENGTH(r.body)), 0), "
            "COALESCE(MAX(r.used), 0) FROM (SELECT DISTINCT id, name FROM models) m "
            "LEFT JOIN responses r ON r.model = m.id GROUP BY m.name ORDER BY m.name"
        )
        return [CacheSummary(*row) for row in rows]

    def count(self) -> int:
        """Return the number of responses."""
        if not self.path.exists():
            return 0
        return int(self._open().execute("SELECT COUNT(*) FROM responses").fetchone()[0])

    def clear(self, name: str | None = None) -> int:
        """Delete the responses of a model, or all, and shrink the file. Return the number of deleted responses."""
        if not self.path.exists():
            return 0
        chosen, values = ("", ()) if name is None else ("WHERE name = ?", (name,))
        with self._transaction() as connection:
            found = connection.execute(
                f"DELETE FROM responses WHERE model IN (SELECT id FROM models {chosen})", values
            ).rowcount
            # Other names of the same model have lost their responses too.
            connection.execute("DELETE FROM models WHERE id NOT IN (SELECT model FROM responses)")
            if name is None:
                connection.execute("DELETE FROM files")
        self._open().execute("VACUUM")
        self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return found

    def size(self) -> int:
        """Return the number of bytes of the file that are in use."""
        connection = self._open()
        pages, free, page = (
            int(connection.execute(f"PRAGMA {what}").fetchone()[0])
            for what in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * page

    def close(self) -> None:
        """Close the file."""
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


def _prepare(connection: sqlite3.Connection) -> None:
    """Create the tables of a new file. The loop is needed because switching to a write-ahead log does not wait for
    other processes by itself."""
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
    """Return a checksum of a row, which reveals flipped bits."""
    return hashlib.sha256(key + body.encode()).digest()[:8]
