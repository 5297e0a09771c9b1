"""`eidolon memory recall --dry-run`: what is left, and what it costs at most."""

from pathlib import Path

import pytest

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.study.recall.sweep import run_sweep
from eidolon.benchmark.study.recall.sweep_cost import SweepCost, cost_table, measure_costs
from eidolon.benchmark.study.recall.sweep_recipe import SweepCell, SweepRecipe
from eidolon.scorers.core.errors import UserError

TINY = SweepRecipe(
    vocabulary=32, width=16, inner=8, window=4, store=2, budget=64, batch_size=8, warmup=2, check_every=3,
    validation_sequences=8, saturated=1.0, test_sequences=12,
)  # fmt: skip
CHOSEN = {"head_dims": (8,), "rates": (0.01, 0.001), "recipe": TINY}


def test_what_has_a_record_is_not_counted(tmp_path: Path) -> None:
    out = tmp_path / "records"
    run_sweep(out, tmp_path / "work", ["GDN-GDN"], [(12, 2)], [0], **CHOSEN)  # type: ignore[arg-type]
    before = sorted(out.iterdir())
    costs = measure_costs(out, ["GDN-GDN", "SWA-SWA"], [(12, 2)], [0, 1], **CHOSEN)  # type: ignore[arg-type]
    assert [(one.cell.label, one.left) for one in costs] == [("GDN-GDN d=8", 1), ("SWA-SWA d=8", 3)]
    assert sorted(out.iterdir()) == before


def test_the_time_of_a_training_counts_steps_and_measurements(tmp_path: Path) -> None:
    (cost,) = measure_costs(tmp_path, ["BM-BM"], [(12, 2)], [0], **CHOSEN)  # type: ignore[arg-type]
    assert min(cost.step_seconds, cost.sequence_seconds) > 0
    # 64 sequences in batches of 8 are 8 steps, with measurements after steps 3, 6 and 8.
    expected = 8 * cost.step_seconds + (3 * 8 + 12) * cost.sequence_seconds
    assert cost.training_seconds == pytest.approx(expected)


def test_what_is_named_twice_counts_once(tmp_path: Path) -> None:
    settings = [(12, 2), (12, 2)]
    costs = measure_costs(tmp_path, ["SWA", "SWA"], settings, [0, 0, 1], **CHOSEN)  # type: ignore[arg-type]
    assert [one.left for one in costs] == [3]
    sweep = run_sweep(tmp_path, tmp_path / "work", ["SWA", "SWA"], settings, [0, 0, 1], train=False, **CHOSEN)  # type: ignore[arg-type]
    assert len(sweep.missing) == 3


def test_a_launcher_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its processes would take another training, and mix the gradients of all."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    chosen = (["SWA"], [(12, 2)], [0])
    with pytest.raises(UserError, match=r"^memory recall: .*; leave the launcher out$"):
        run_sweep(tmp_path / "out", tmp_path / "work", *chosen)
    with pytest.raises(UserError, match=r"^memory recall: .*; leave the launcher out$"):
        measure_costs(tmp_path / "out", *chosen)
    assert not any(tmp_path.iterdir())


def test_an_odd_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--head-dim 7: must be even"):
        measure_costs(tmp_path, ["SWA"], [(12, 2)], [0], head_dims=(7,), recipe=TINY)


def test_the_table_has_the_sum() -> None:
    cell = SweepCell.model_validate({"layout": "BM", "length": 12, "pairs": 2, "learning_rate": 0.01})
    costs = [
        SweepCost(cell=cell, step_seconds=1.0, sequence_seconds=0.1, training_seconds=600.0, left=left)
        for left in (6, 0)
    ]
    table = cost_table(costs)
    assert table.caption == "all that is left: at most 60 min"
    assert [next(iter(column.cells)) for column in table.columns] == [
        "12x2", "BM", "1.00 s", "10 min", "6", "60 min",
    ]  # fmt: skip


def test_the_command_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "recall"
    options = ["--layout", "SWA", "--setting", "8x1", "--budget", "64", "--width", "8", "--head-dim", "2"]
    assert invoke(["memory", "recall", "--dry-run", "--out", str(out), *options]) == 0
    assert "8x1" in capsys.readouterr().out
    assert not out.exists()
