"""The bootstrap of several tables of counts at once, for many samples: the images are drawn once for all tables.

Tables hold whole numbers in the smallest type that takes them, or only the cells that are not zero. The numbers are
those of `bootstrap` on each table, bit for bit: sums of whole numbers are exact in any order.
"""

from collections.abc import Sequence
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
            return DenseTotals(numbered_totals(self.values, rows))
        fits = max(int(np.abs(values.astype(np.int64)).sum()) for values in self.values.T) <= _LARGEST
        totals = np.empty((count, self.values.shape[1]), dtype=np.int32 if fits else np.int64)
        for column, values in zip(totals.T, self.values.T, strict=True):
            column[:] = np.bincount(rows, weights=values, minlength=count)
        return DenseTotals(totals)


@dataclass(frozen=True, slots=True, eq=False)
class SparseTable:
    """Statistics of samples, whole numbers; the cells that are not zero."""

    samples: IntArray
    """The sample of each cell."""
    columns: IntArray
    values: IntArray
    width: int
    """Number of columns."""

    def sums(self) -> FloatArray:
        """Return the sums over samples, shape (k,)."""
        return np.bincount(self.columns, weights=self.values, minlength=self.width).astype(float)

    def totals(self, rows: IntArray, count: int) -> "Totals":
        """Return the sums of each cluster; `rows` numbers the cluster of each sample."""
        clusters = rows[self.samples]
        if count * self.width * 8 <= DENSE_BYTES:
            cells = clusters.astype(np.int64) * self.width + self.columns
            totals = np.bincount(cells, weights=self.values, minlength=count * self.width)
            return DenseTotals(totals.reshape(count, self.width))
        return SparseTotals.of(clusters, self.columns, self.values, count, self.width)


Table: TypeAlias = DenseTable | SparseTable


class Totals(Protocol):
    """Sums of each cluster."""

    exact_in_float32: bool
    """Whether no sum of a resample reaches 2²⁴, up to which float32 has all whole numbers."""

    def weighted(self, weights: NDArray[Any]) -> FloatArray:
        """Return the weighted sums of clusters, shape (resamples, k), for weights (resamples, clusters)."""
        ...


class DenseTotals:
    """Sums of each cluster, all cells."""

    def __init__(self, totals: NDArray[Any]) -> None:
        whole = totals.dtype.kind != "f" or np.array_equal(totals, np.rint(totals))
        self.exact_in_float32 = whole and largest_total(totals).max(initial=0) < 2**24
        self._totals = totals.astype(np.float32 if self.exact_in_float32 else np.float64)

    def weighted(self, weights: NDArray[Any]) -> FloatArray:
        """Return the weighted sums of clusters, shape (resamples, k)."""
        summed = weights.astype(self._totals.dtype, copy=False) @ self._totals
        return np.asarray(summed, dtype=np.float64)


class SparseTotals:
    """Sums of each cluster, the cells that are not zero."""

    def __init__(self, matrix: Any, largest: int) -> None:
        """`matrix` is a `scipy.sparse.csr_array`, shape (k, clusters), and `largest` its largest magnitude."""
        self.exact_in_float32 = matrix.shape[1] * largest < 2**24
        self._matrix = matrix.astype(np.float32 if self.exact_in_float32 else np.float64)

    @classmethod
    def of(cls, clusters: IntArray, columns: IntArray, values: IntArray, count: int, width: int) -> Totals:
        """Return the sums of the cells of each cluster."""
        from scipy.sparse import coo_array

        cells = (values.astype(np.int32), (columns.astype(np.int32), clusters.astype(np.int32)))
        matrix = coo_array(cells, shape=(width, count)).tocsr()  # adds cells of the same place
        return cls(matrix, int(np.abs(matrix.data).max(initial=0)))

    def weighted(self, weights: NDArray[Any]) -> FloatArray:
        """Return the weighted sums of clusters, shape (resamples, k)."""
        turned = np.ascontiguousarray(weights.T, dtype=self._matrix.dtype)
        return np.asarray((self._matrix @ turned).T, dtype=np.float64)


def number_clusters(images: IntArray, ids: Sequence[ImageId]) -> tuple[IntArray, int]:
    """Return the number of each sample's cluster, in the order of `bootstrap.cluster_ids`, and how many there are.

    `images` holds the position of each sample's image in `ids`; images without samples are no clusters.
    """
    present = np.unique(images)
    numbers = [i for i in present.tolist() if not isinstance(ids[i], str)]
    names = [i for i in present.tolist() if isinstance(ids[i], str)]
    ordered = [*sorted(numbers, key=ids.__getitem__), *sorted(names, key=ids.__getitem__)]
    rank = np.zeros(len(ids), dtype=np.int32)
    rank[np.array(ordered, dtype=np.intp)] = np.arange(len(ordered), dtype=np.int32)
    return rank[images], len(ordered)


def joint_bootstrap(
    tables: Sequence[tuple[Table, Compute, Shares | None]],
    rows: IntArray,
    count: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    block_bytes: int = BLOCK_BYTES,
) -> list[dict[str, BootstrapResult]]:
    """Return for each table what `bootstrap` returns for it. `rows` and `count` are those of `number_clusters`."""
    drawn: list[dict[str, FloatArray]] = [{} for _ in tables]
    if count > 1 and resamples > 0:
        totals = [table.totals(rows, count) for table, _, _ in tables]
        dtype = np.float32 if all(one.exact_in_float32 for one in totals) else np.float64
        size = max(1, min(resamples, block_bytes // (count * np.dtype(dtype).itemsize)))
        weights = np.empty((size, count), dtype=dtype)
        sample = draws(count, seed=seed, resamples=resamples)
        for start in range(0, resamples, size):
            block = weights[: resamples - start]
            for row in block:
                row[:] = np.bincount(next(sample), minlength=count)
            for (_, compute, _), total, found in zip(tables, totals, drawn, strict=True):
                for name, value in compute(total.weighted(block)).items():
                    if name not in found:
                        found[name] = np.empty((resamples, *value.shape[1:]))
                    found[name][start : start + len(block)] = value
    return [
        estimates(compute(sums), found, shares and shares(sums), clusters=count, level=level)
        for (table, compute, shares), found in zip(tables, drawn, strict=True)
        for sums in (table.sums(),)
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


def _dense(block: Block) -> NDArray[Any]:
    if block.dense is not None:
        return block.dense
    assert block.rows is not None
    assert block.columns is not None
    assert block.values is not None
    cells = np.zeros((block.count, block.width), dtype=block.values.dtype)
    cells[block.rows, block.columns] = block.values
    return cells
