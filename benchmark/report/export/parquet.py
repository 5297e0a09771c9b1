"""Writes the tables of an export as Parquet files, in bounded memory."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from eidolon.benchmark.report.export.tables import TABLES, Table
from eidolon.benchmark.store.files import TORN
from eidolon.benchmark.store.loaded import LoadedRun

GROUP = 16_384
"""Rows of a row group, and the most that are in memory: of long responses some tens of megabytes."""


def write_tables(runs: Sequence[LoadedRun], out: Path) -> dict[Path, int]:
    """Write every table with the rows of all runs to `out`, and return the number of rows by file.

    Raises:
        RunFileError: a line of a run is not one of this version.
        OSError: the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    return {
        path: _write(name, table, runs, path)
        for name, table in TABLES.items()
        if (path := out / f"{name}.parquet")
    }


def _write(name: str, table: Table, runs: Sequence[LoadedRun], path: Path) -> int:
    """Write one table, so that the file is whole or absent."""
    import pyarrow
    from pyarrow import parquet

    schema, count = table.schema(name), 0
    rows = _rows(table, runs)
    temporary = path.with_name(f".{path.name}{TORN}")
    try:
        with parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
            while group := list(islice(rows, GROUP)):
                writer.write_table(pyarrow.Table.from_pylist(group, schema))
                count += len(group)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _rows(table: Table, runs: Sequence[LoadedRun]) -> Iterator[dict[str, Any]]:
    for run in runs:
        shared = {"run": run.path.as_posix(), "name": run.name}
        for row in table.rows(run):
            yield {**shared, **row}
