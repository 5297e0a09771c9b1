"""The bootstrap of several tables of counts at once, for many samples: the images are drawn once for all tables.

Tables hold whole numbers in the smallest type that takes them, or only the cells that are not zero. The numbers are
those of `bootstrap` on each table, bit for bit: sums of whole numbers are exact in any order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.statistics.bootstrap import (
    BLOCK_BYTES,
    LEVEL,
    BootstrapResult,
    Compute,
    Shares,
    column_sums,
    draws,
    estimates,
    largest_total,
    numbered_totals,
)

DENSE_BYTES = 64 * 2**20
"""Memory up to which the totals of a sparse table are written out, which needs no scipy."""
SPARSE_COLUMNS = 32
"""Tables with more columns keep only the cells that are not zero: each response names a few of many categories."""
_LARGEST = 2**31 - 1
_CELLS_AT_ONCE = 2**16
_EXACT = 2**24
"""Up to here float32 has all whole numbers."""

IntArray: TypeAlias = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class DenseTable:
    """Statistics of samples, all cells."""

    values: NDArray[Any]
    """Shape (samples, k): whole numbers of any type, or float64."""

    def sums(self) -> FloatArray:
        """Return the sums over samples, shape (k,)."""
        if self.values.dtype.kind == "f":
            return column_sums(self.values)
        return np.asarray(self.values.sum(axis=0, dtype=np.int64), dtype=float)

    def totals(self, rows: IntArray, count: int) -> "Totals":
        """Return the sums of each cluster; `rows` numbers the cluster of each sample."""
        if self.values.dtype.kind == "f":
            return DenseTotals.of(numbered_totals(self.values, rows))

        def columns() -> Iterator[FloatArray]:
            found = (np.bincount(rows, weights=values, minlength=count) for values in self.values.T)
            return (column.astype(float, copy=False) for column in found)

        # Computed twice, so that each column is written in its type at once.
        narrow = [count * float(np.abs(column).max(initial=0)) < _EXACT for column in columns()]
        totals = DenseTotals(count, np.array(narrow, dtype=bool))
        for number, column in enumerate(columns()):
            totals.write(number, column)
        return totals


@dataclass(frozen=True, slots=True, eq=False)
class SparseTable:
    """Statistics of samples, whole numbers; the cells that are not zero."""

    samples: IntArray
    """The sample of each cell."""
    columns: IntArray
    values: IntArray
    width: int
    """Number of columns."""

    def parts(self) -> Iterator[slice]:
        """Yield slices that together have all cells."""
        return (slice(start, start + _CELLS_AT_ONCE) for start in range(0, len(self.values), _CELLS_AT_ONCE))

    def sums(self) -> FloatArray:
        """Return the sums over samples, shape (k,)."""
        total = np.zeros(self.width)
        for part in self.parts():  # bincount makes wide copies
            total += np.bincount(self.columns[part], weights=self.values[part], minlength=self.width)
        return total

    def totals(self, rows: IntArray, count: int) -> "Totals":
        """Return the sums of each cluster; `rows` numbers the cluster of each sample."""
        if count * self.width * 8 <= DENSE_BYTES:
            cells = rows[self.samples].astype(np.int64) * self.width + self.columns
            totals = np.bincount(cells, weights=self.values, minlength=count * self.width)
            return DenseTotals.of(totals.reshape(count, self.width).astype(float, copy=False))
        return SparseTotals(self, rows, count)


Table: TypeAlias = DenseTable | SparseTable


class Totals(Protocol):
    """Sums of each cluster."""

    def weighted(self, weights: NDArray[np.float32]) -> FloatArray:
        """Return the weighted sums of clusters, shape (resamples, k), for weights (resamples, clusters)."""
        ...


class DenseTotals:
    """Sums of each cluster, all cells."""

    def __init__(self, count: int, narrow: NDArray[np.bool_]) -> None:
        """Take the number of clusters, and which columns are whole numbers whose sums are exact in float32."""
        self._narrow = narrow
        self._parts = [np.empty((count, int(sum(of))), dtype) for of, dtype in self._kinds()]

    @classmethod
    def of(cls, totals: FloatArray) -> "DenseTotals":
        """Return sums, shape (clusters, k)."""
        whole = np.array([np.array_equal(column, np.rint(column)) for column in totals.T], dtype=bool)
        made = cls(len(totals), whole & (largest_total(totals) < _EXACT))
        for number, column in enumerate(totals.T):
            made.write(number, column)
        return made

    def write(self, number: int, column: FloatArray) -> None:
        """Set a column."""
        kind = 0 if self._narrow[number] else 1
        same = self._narrow[:number] == self._narrow[number]
        self._parts[kind][:, int(np.count_nonzero(same))] = column

    def weighted(self, weights: NDArray[np.float32]) -> FloatArray:
        """Return the weighted sums of clusters, shape (resamples, k)."""
        summed = np.empty((len(weights), len(self._narrow)))
        for (columns, dtype), part in zip(self._kinds(), self._parts, strict=True):
            if part.size:
                summed[:, columns] = weights.astype(dtype, copy=False) @ part
        return summed

    def _kinds(self) -> tuple[tuple[NDArray[np.bool_], type[np.floating[Any]]], ...]:
        return (self._narrow, np.float32), (~self._narrow, np.float64)


class SparseTotals:
    """Sums of each cluster, the cells that are not zero."""

    def __init__(self, table: SparseTable, rows: IntArray, count: int) -> None:
        """Take the table, and the number of each sample's cluster.

        Cells of one cluster stay apart: the product adds them.
        """
        from scipy.sparse import csr_array

        most = int(np.bincount(rows).max(initial=0)) * _largest_value(table.values)
        dtype = np.float32 if count * most < _EXACT else np.float64
        starts = np.zeros(table.width + 1, dtype=np.int64)
        for part in table.parts():
            starts[1:] += np.bincount(table.columns[part], minlength=table.width)
        np.cumsum(starts, out=starts)
        # Sorted by column, part by part: sorting all cells at once takes several times the memory.
        clusters, values = np.empty(starts[-1], np.int32), np.empty(starts[-1], dtype)
        free = starts[:-1].copy()
        for part in table.parts():
            order = np.argsort(table.columns[part], kind="stable")
            columns, counts = (
                table.columns[part][order],
                np.bincount(table.columns[part], minlength=table.width),
            )
            before = np.cumsum(counts) - counts
            place = free[columns] + np.arange(len(columns)) - before[columns]
            clusters[place] = rows[table.samples[part][order]]
            values[place] = table.values[part][order]
            free += counts
        self._matrix = csr_array((values, clusters, starts.astype(np.int32)), shape=(table.width, count))
        """Shape (k, clusters)."""

    def weighted(self, weights: NDArray[np.float32]) -> FloatArray:
        """Return the weighted sums of clusters, shape (resamples, k)."""
        turned = np.ascontiguousarray(weights.T, dtype=self._matrix.dtype)
        return np.asarray((self._matrix @ turned).T, dtype=np.float64)


def number_clusters(images: IntArray, ids: Sequence[ImageId]) -> tuple[IntArray, int]:
    """Return the number of each sample's cluster, in the order of `bootstrap.cluster_ids`, and how many there are.

    `images` holds the position of each sample's image in `ids`; images without samples are no clusters.
    """
    present: NDArray[Any] = np.flatnonzero(np.bincount(images))
    named = np.fromiter((isinstance(ids[i], str) for i in present), bool, len(present))
    numbered, names = present[~named], present[named].tolist()
    numbers = np.fromiter((ids[i] for i in numbered), np.int64, len(numbered))
    ordered = [numbered[np.argsort(numbers, kind="stable")], sorted(names, key=ids.__getitem__)]
    rank = np.zeros(len(ids), dtype=np.int32)
    rank[np.concatenate(ordered).astype(np.intp)] = np.arange(len(present), dtype=np.int32)
    return rank[images], len(present)


def joint_bootstrap(
    tables: list[tuple[Table, Compute, Shares | None]],
    rows: IntArray,
    count: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    block_bytes: int = BLOCK_BYTES,
) -> list[dict[str, BootstrapResult]]:
    """Return for each table what `bootstrap` returns for it. `rows` and `count` are those of `number_clusters`.

    Tables leave the list when their totals are computed, so that they need not be in memory while images are drawn.
    """
    asked = [(table.sums(), compute, shares) for table, compute, shares in tables]
    drawn: list[dict[str, FloatArray]] = [{} for _ in tables]
    if count > 1 and resamples > 0:
        totals = [tables.pop(0)[0].totals(rows, count) for _ in asked]
        size = max(1, min(resamples, block_bytes // (count * np.dtype(np.float32).itemsize)))
        weights = np.empty((size, count), dtype=np.float32)
        sample = draws(count, seed=seed, resamples=resamples)
        for start in range(0, resamples, size):
            block = weights[: resamples - start]
            for row in block:
                row[:] = np.bincount(next(sample), minlength=count)
            for (_, compute, _), total, found in zip(asked, totals, drawn, strict=True):
                for name, value in compute(total.weighted(block)).items():
                    if name not in found:
                        found[name] = np.empty((resamples, *value.shape[1:]))
                    found[name][start : start + len(block)] = value
    return [
        estimates(compute(sums), found, shares and shares(sums), clusters=count, level=level)
        for (sums, compute, shares), found in zip(asked, drawn, strict=True)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The statistics of some samples, packed to be kept or sent."""

    count: int
    width: int
    dense: NDArray[Any] | None = None
    """All cells; None where only those that are not zero are kept."""
    rows: IntArray | None = None
    columns: IntArray | None = None
    values: IntArray | None = None


def pack(statistics: FloatArray) -> Block:
    """Return statistics, shape (samples, k), in little memory."""
    count, width = statistics.shape
    low, high = statistics.min(initial=0), statistics.max(initial=0)
    if not -_LARGEST < low <= high < _LARGEST:  # NaN too
        return Block(count, width, dense=statistics)
    dtype = np.min_scalar_type(int(high) if low >= 0 else -1 - int(max(high, -1 - low)))
    whole = statistics.astype(dtype)
    if not np.array_equal(whole, statistics):
        return Block(count, width, dense=statistics)
    if width <= SPARSE_COLUMNS:
        return Block(count, width, dense=whole)
    rows, columns = np.nonzero(whole)
    column_type = np.min_scalar_type(width)
    return Block(count, width, None, rows.astype(np.int32), columns.astype(column_type), whole[rows, columns])


def unpack(blocks: Sequence[Block], width: int) -> Table:
    """Return the table of all blocks, one below another."""
    if any(block.dense is not None for block in blocks) or not blocks:
        return DenseTable(np.concatenate([np.zeros((0, width), np.uint8), *map(_dense, blocks)]))
    starts = np.cumsum([0, *(block.count for block in blocks)])
    parts = zip(blocks, starts.tolist(), strict=False)
    return SparseTable(
        np.concatenate([block.rows + start for block, start in parts if block.rows is not None]),
        np.concatenate([block.columns for block in blocks if block.columns is not None]),
        np.concatenate([block.values for block in blocks if block.values is not None]),
        width,
    )


def _largest_value(values: IntArray) -> int:
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def _dense(block: Block) -> NDArray[Any]:
    if block.dense is not None:
        return block.dense
    assert block.rows is not None
    assert block.columns is not None
    assert block.values is not None
    cells = np.zeros((block.count, block.width), dtype=block.values.dtype)
    cells[block.rows, block.columns] = block.values
    return cells
