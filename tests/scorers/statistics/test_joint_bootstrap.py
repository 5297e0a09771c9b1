"""The bootstrap of several compact tables, compared with `bootstrap` on each of them by itself."""

import numpy as np
import pytest

from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.statistics import joint_bootstrap as joint
from eidolon.scorers.statistics.bootstrap import bootstrap


def shares(totals: FloatArray) -> dict[str, FloatArray]:
    return {"share": ratio(totals[..., 0], totals[..., 1])}


def by_category(totals: FloatArray) -> dict[str, FloatArray]:
    pairs = totals.reshape(*totals.shape[:-1], -1, 2)
    return {"share": ratio(pairs[..., 0], pairs[..., 1]), "first": pairs[..., 0]}


def tables(samples: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Few whole numbers, many that are mostly zero, and fractions."""
    rng = np.random.default_rng(seed)
    many = rng.integers(1, 4, size=(samples, 60)) * (rng.random((samples, 60)) < 0.1)
    return (
        rng.integers(-3, 300, size=(samples, 2)).astype(float),
        many.astype(float),
        rng.random((samples, 2)),
    )


def packed(statistics: FloatArray, size: int) -> joint.Table:
    parts = [statistics[start : start + size] for start in range(0, len(statistics), size)]
    return joint.unpack([joint.pack(part) for part in parts], statistics.shape[1])


@pytest.mark.parametrize("dense_bytes", [joint.DENSE_BYTES, 0])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_equals_the_bootstrap_of_each_table(
    monkeypatch: pytest.MonkeyPatch, size: int, dense_bytes: int
) -> None:
    monkeypatch.setattr(joint, "DENSE_BYTES", dense_bytes)
    ids = ["b", 3, "a", 20, 100]
    images = np.random.default_rng(1).integers(0, 4, size=50)  # the last has no sample
    few, many, fractions = tables(50, seed=2)
    asked = [(few, shares), (many, by_category), (fractions, shares)]
    rows, count = joint.number_clusters(images, ids)
    found = joint.joint_bootstrap(
        [(packed(table, size), compute, None) for table, compute in asked],
        rows,
        count,
        seed=5,
        resamples=200,
        block_bytes=64,
    )
    assert count == 4
    for (table, compute), results in zip(asked, found, strict=True):
        naive = bootstrap(table, [ids[i] for i in images], compute, seed=5, resamples=200)
        assert list(results) == list(naive)
        for name, wanted in naive.items():
            for part in ("value", "low", "high", "undefined_resamples"):
                np.testing.assert_array_equal(getattr(results[name], part), getattr(wanted, part))


def test_no_sample_and_a_single_cluster_have_no_interval() -> None:
    for images in ([], [0, 0]):
        rows, count = joint.number_clusters(np.array(images, dtype=np.int32), ["one"])
        statistics = np.ones((len(images), 2))
        (found,) = joint.joint_bootstrap([(packed(statistics, 2), shares, None)], rows, count, resamples=10)
        (naive,) = bootstrap(statistics, ["one"] * len(images), shares, resamples=10).values()
        np.testing.assert_array_equal(found["share"].value, naive.value)
        assert np.isnan(found["share"].low)


def test_tables_take_little_memory() -> None:
    few, many, _ = tables(1000, seed=3)
    table = packed(np.abs(few), 100)
    assert isinstance(table, joint.DenseTable)
    assert table.values.nbytes <= 2 * few.size
    cells = packed(many, 100)
    assert isinstance(cells, joint.SparseTable)
    assert cells.samples.nbytes + cells.columns.nbytes + cells.values.nbytes < many.nbytes / 10


def test_sums_that_float32_cannot_hold_are_exact() -> None:
    statistics = np.array([[2.0**24 + 1, 2.0**24 + 3], [1.0, 2.0]] * 40)
    rows, count = joint.number_clusters(np.arange(80), list(range(80)))
    (found,) = joint.joint_bootstrap([(packed(statistics, 9), shares, None)], rows, count, resamples=50)
    naive = bootstrap(statistics, range(80), shares, resamples=50)
    assert found["share"].low == naive["share"].low
    assert found["share"].high == naive["share"].high


def test_statistics_that_are_not_finite_are_refused() -> None:
    rows, count = joint.number_clusters(np.arange(2), [0, 1])
    table = packed(np.array([[1.0, np.nan], [1.0, 1.0]]), 2)
    with pytest.raises(ValueError, match="finite"):
        joint.joint_bootstrap([(table, shares, None)], rows, count)
