"""`eidolon memory recall`: the published task against an independent reader, trainings in order, and records."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from jsonschema import validate

from eidolon.benchmark import json_schemas
from eidolon.benchmark.cli import invoke
from eidolon.benchmark.store.lock import claimed
from eidolon.benchmark.study.recall import sweep, sweep_recipe
from eidolon.benchmark.study.recall.published_task import MqarTask, make_published_sequences
from eidolon.benchmark.study.recall.sweep import missing, run_sweep, run_training, trainings
from eidolon.benchmark.study.recall.sweep_recipe import SweepCell, SweepRecipe, parse_setting
from eidolon.benchmark.study.recall.sweep_records import (
    RecallRecord,
    Stop,
    best_rate,
    given_up,
    summarise_sweep,
)
from eidolon.benchmark.study.recall.task import POWER, RecallEstimate
from eidolon.scorers.core.errors import UserError

TINY = SweepRecipe(
    vocabulary=32, width=16, inner=8, window=4, store=2, budget=64, batch_size=8, warmup=2, check_every=3,
    validation_sequences=8, saturated=1.0, test_sequences=12,
)  # fmt: skip
MEMORY = SweepCell.model_validate(
    {"layout": "BM", "length": 12, "pairs": 2, "head_dim": 8, "learning_rate": 0.01}
)


def test_every_answer_is_the_value_of_the_key() -> None:
    task = MqarTask(length=24, pairs=5, vocabulary=32)
    drawn = make_published_sequences(task, 40, [3])
    for row, tokens in enumerate(drawn.tokens.tolist()):
        told = dict(zip(tokens[0:10:2], tokens[1:10:2], strict=True))
        assert len(told) == 5
        assert all(1 <= key < 16 <= value < 32 for key, value in told.items())
        assert len(set(told.values())) == 5
        asked = [place for place in range(10, 24) if tokens[place]]
        assert drawn.queries[row].tolist() == asked
        assert all(place % 2 == 0 for place in asked)
        assert sorted(tokens[place] for place in asked) == sorted(told)
        assert drawn.answers[row].tolist() == [told[tokens[place]] for place in asked]


def test_the_same_seed_gives_the_same_sequences() -> None:
    task = MqarTask(length=16, pairs=2, vocabulary=16)
    first, again, other = (make_published_sequences(task, 5, [seed]).tokens for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_queries_come_early_by_the_power_law_of_the_paper() -> None:
    drawn = make_published_sequences(MqarTask(length=10, pairs=1, vocabulary=8), 6000, [0])
    places = Counter(((drawn.queries[:, 0] - 2) // 2).tolist())
    weights = np.arange(1, 5) ** (POWER - 1)
    for place, weight in enumerate(weights / weights.sum()):
        assert abs(places[place] / 6000 - weight) < 0.03


@pytest.mark.parametrize(("text", "sizes"), [("64x4", (64, 4)), ("512x64", (512, 64))])
def test_a_setting(text: str, sizes: tuple[int, int]) -> None:
    assert parse_setting(text) == sizes


@pytest.mark.parametrize("text", ["64", "64x", "64x17", "63x4", "ax4", "64x0"])
def test_an_impossible_setting_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=rf"--setting '{text}': must be LENGTHxPAIRS"):
        parse_setting(text)


def test_more_pairs_than_keys_are_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match="; 4096 pairs need more keys than a vocabulary of 8192 has"):
        parse_setting("32768x4096")


def record(cell: SweepCell, recall: float, sequences: int, stopped: Stop) -> RecallRecord:
    return RecallRecord(
        recipe=TINY, cell=cell, parameters=1, state_bytes=1, sequences=sequences, stopped=stopped, seconds=1.0,
        validation=((sequences, recall),), test=RecallEstimate(value=recall, ci=None, queries=1),
    )  # fmt: skip


def test_rates_are_swept_on_the_first_seed_and_the_best_gets_the_others() -> None:
    rates, seeds = (0.01, 0.001, 0.0001), (5, 6)
    found = {0.01: (1.0, 40, "saturated"), 0.001: (1.0, 24, "saturated"), 0.0001: (0.2, 24, "behind")}
    records: dict[SweepCell, RecallRecord] = {}
    limits = []
    assert len(missing([MEMORY], records, rates, seeds)) == 4
    for cell, rival in trainings(MEMORY, lambda: records, rates, seeds):
        recall, sequences, stopped = found[cell.learning_rate]
        limits.append((cell.learning_rate, cell.seed, rival and rival.sequences))
        records[cell] = record(cell, recall, sequences, stopped)
    # A further rate is compared with the best saturated one.
    assert limits == [(0.01, 5, None), (0.001, 5, 40), (0.0001, 5, 24), (0.001, 6, None)]
    assert missing([MEMORY], records, rates, seeds) == []
    assert list(trainings(MEMORY, lambda: records, rates, seeds)) == []
    again = {cell: one for cell, one in records.items() if (cell.seed, cell.learning_rate) != (6, 0.001)}
    assert missing([MEMORY], again, rates, seeds) == [f"12x2-BM-d8-lr{0.001:g}-seed6"]


def summary_of(r_squared: tuple[float, ...] | None) -> tuple[tuple[float, ...] | None, str | None]:
    one = record(MEMORY, 0.5, 64, "budget").model_copy(update={"predictor_r_squared": r_squared})
    (row,) = summarise_sweep(TINY, {MEMORY: one}, []).memories
    assert row.predictor_r_squared == (None if r_squared is None else (r_squared,))
    return row.recall, row.not_reported


def test_a_store_without_a_predictor_that_predicts_is_not_reported() -> None:
    assert summary_of(None) == (None, "R² of the predictors of the innovation was not measured")
    assert summary_of((0.2, 0.9)) == ((0.5,), None)
    recall, reason = summary_of((0.9, 0.19))
    assert recall is None
    assert reason is not None
    assert "R² below 0.2 (by layer with a store: 0.90, 0.19)" in reason


def test_a_killed_training_continues_to_the_same_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_recipe, "SAVE_EVERY", 3)
    whole = run_training(TINY, MEMORY, tmp_path / "whole")
    assert (whole.sequences, whole.stopped) == (64, "budget")
    assert [n for n, _ in whole.validation] == [24, 48, 64]
    progress = sweep._Progress.add

    def kill(self: sweep._Progress, step: int, recall: float) -> None:
        if step == 6:
            raise KeyboardInterrupt
        progress(self, step, recall)

    with monkeypatch.context() as during:
        during.setattr(sweep._Progress, "add", kill)
        with pytest.raises(KeyboardInterrupt):
            run_training(TINY, MEMORY, tmp_path / "cut")
    assert (tmp_path / "cut" / "state").is_dir(), "it continues from step 3"
    resumed = run_training(TINY, MEMORY, tmp_path / "cut")
    assert resumed.model_copy(update={"seconds": whole.seconds}) == whole


def test_an_unfinished_training_is_not_continued_with_other_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_recipe, "SAVE_EVERY", 3)
    run_training(TINY, MEMORY, tmp_path)
    with pytest.raises(UserError):
        run_training(TINY.model_copy(update={"window": 5}), MEMORY, tmp_path)


def test_a_training_that_diverges_has_a_record(tmp_path: Path) -> None:
    wild = MEMORY.model_copy(update={"learning_rate": 1e30})
    found = run_training(TINY.model_copy(update={"warmup": 0}), wild, tmp_path)
    assert found.stopped == "diverged"
    assert found.validation[-1] == (found.sequences, 0.0)
    assert found.refused == f"the training with seed 0 diverged after {found.sequences} sequences"
    assert RecallRecord.model_validate_json(found.model_dump_json()) == found


def test_a_rate_that_is_behind_a_saturated_one_ends(tmp_path: Path) -> None:
    rival = record(MEMORY, 1.0, 48, "saturated")
    for name, curve, ends in (("slow", ((24, 0.0), (48, 1.0)), 48), ("behind", ((24, 0.9), (48, 1.0)), 24)):
        rival = rival.model_copy(update={"validation": curve})
        found = run_training(TINY, MEMORY, tmp_path / name, rival)
        assert (found.sequences, found.stopped) == (ends, "behind")


def test_a_rate_that_is_far_behind_an_unsaturated_one_ends_in_the_second_half(tmp_path: Path) -> None:
    """The budget has 64 sequences, and recall is measured after 24, 48 and 64."""
    rival = record(MEMORY, 0.9, 64, "budget")
    for name, curve, ends, stopped in (
        ("early", ((24, 0.9), (48, 0.1), (64, 0.1)), 64, "budget"),
        ("late", ((24, 0.0), (48, 0.9), (64, 0.9)), 48, "behind"),
        ("close", ((24, 0.0), (48, 0.15), (64, 0.15)), 64, "budget"),
    ):
        rival = rival.model_copy(update={"validation": curve})
        found = run_training(TINY, MEMORY, tmp_path / name, rival)
        assert (found.sequences, found.stopped) == (ends, stopped), name
    diverged = rival.model_copy(update={"stopped": "diverged", "validation": ((48, 0.9),)})
    assert not given_up(diverged, 48, 0.0)


def test_a_saturated_training_ends(tmp_path: Path) -> None:
    easy = TINY.model_copy(update={"saturated": 0.01, "budget": 800, "batch_size": 16})
    cell = MEMORY.model_copy(update={"layout": ("*",), "learning_rate": 0.03})
    found = run_training(easy, cell, tmp_path)
    assert found.stopped == "saturated"
    assert found.sequences < 800
    assert [recall >= 0.01 for _, recall in found.validation[-2:]][-1]


def test_the_command_records_each_training_and_repeats_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def train(recipe: SweepRecipe, cell: SweepCell, folder: Path, rival: RecallRecord | None) -> RecallRecord:
        calls.append(cell.slug)
        if len(calls) == 4:
            raise KeyboardInterrupt
        folder.mkdir(exist_ok=True)
        return record(cell, cell.learning_rate, 64, "budget").model_copy(update={"recipe": recipe})

    monkeypatch.setattr(sweep, "run_training", train)
    out, work = tmp_path / "out", tmp_path / "work"
    command = ["memory", "recall", "--layout", "GDN", "--setting", "12x2", "--seed", "0", "--seed", "1"]
    command += ["--out", str(out), "--work", str(work)]
    with pytest.raises(KeyboardInterrupt):
        run_sweep(out, work, ["GDN"], [(12, 2)], [0, 1])
    assert len(list(out.glob("*-seed0.json"))) == 3
    told = json.loads((out / "recall.json").read_text())
    validate(told, json_schemas.read("recall"))
    assert told["missing"] == ["12x2-GDN-d64-lr0.0001-seed0", "12x2 GDN best rate, seed 1"]
    assert invoke([*command, "--no-train"]) == 0
    assert len(calls) == 4
    assert invoke(command) == 0
    assert calls[4:] == ["12x2-GDN-d64-lr0.0001-seed0", "12x2-GDN-d64-lr0.01-seed1"]
    told = json.loads((out / "recall.json").read_text())
    assert told["missing"] == []
    (row,) = told["memories"]
    assert (row["learning_rate"], row["seeds"], row["recall"]) == (0.01, [0, 1], [0.01, 0.01])
    assert [path.name for path in work.iterdir()] == [sweep.LOCKS]
    assert (out / "recall.png").read_bytes().startswith(b"\x89PNG")
    assert invoke([*command, "--budget", "5"]) == 2, "another recipe"
    (out / "12x2-GDN-d64-lr0.01-seed1.json").write_text("{}")
    assert invoke(command) == 2


def test_a_training_of_another_process_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []

    def train(recipe: SweepRecipe, cell: SweepCell, *_: object) -> RecallRecord:
        calls.append(cell.slug)
        return record(cell, cell.learning_rate, 64, "budget").model_copy(update={"recipe": recipe})

    monkeypatch.setattr(sweep, "run_training", train)
    out, work = tmp_path / "out", tmp_path / "work"

    def run() -> tuple[str, ...]:
        return run_sweep(out, work, ["GDN"], [(12, 2)], [0, 1], rates=(0.01, 0.001)).missing

    with claimed(work / sweep.LOCKS / "12x2-GDN-d64-lr0.01-seed0"):
        assert run() == ("12x2-GDN-d64-lr0.01-seed0", "12x2 GDN best rate, seed 1")
    assert calls == ["12x2-GDN-d64-lr0.001-seed0"]
    assert "12x2-GDN-d64-lr0.01-seed0: another process works on it" in capsys.readouterr().err
    assert run() == ()
    assert calls[1:] == ["12x2-GDN-d64-lr0.01-seed0", "12x2-GDN-d64-lr0.01-seed1"]


def test_a_record_that_another_process_wrote_meanwhile_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was missing when the training was chosen, and is there when the lock is free."""
    out = tmp_path / "out"
    calls: list[str] = []

    @contextmanager
    def late(path: Path, *, wait: bool = False) -> Iterator[bool]:
        cell = MEMORY.model_copy(update={"layout": ("GDN",), "head_dim": 64})
        found = record(cell, 1.0, 64, "saturated").model_copy(update={"recipe": SweepRecipe()})
        (out / f"{cell.slug}.json").write_text(found.model_dump_json())
        yield True

    monkeypatch.setattr(sweep, "claimed", late)
    monkeypatch.setattr(sweep, "run_training", lambda *_: calls.append("trained"))
    found = run_sweep(out, tmp_path / "work", ["GDN"], [(12, 2)], [0], rates=(0.01,))
    assert (calls, found.missing) == ([], ())


def test_the_best_rate_does_not_depend_on_which_was_trained_at_once() -> None:
    """In one process the smaller rate would have been given up after 40 sequences, at a lower recall."""
    first = record(MEMORY, 0.995, 40, "saturated")
    slower = MEMORY.model_copy(update={"learning_rate": 0.001})
    alone = record(slower, 1.0, 64, "saturated")
    assert best_rate([alone, first]) == best_rate([first, record(slower, 0.3, 40, "behind")]) == first
    faster = record(slower, 1.0, 40, "saturated")
    assert best_rate([faster, first]) == faster
    assert best_rate([record(MEMORY, 0.4, 40, "budget"), alone]) == alone
    # A rate that would have been given up in the second half, but was trained to its end in another process.
    ahead = record(MEMORY, 0.9, 64, "budget").model_copy(update={"validation": ((40, 0.8), (64, 0.9))})
    overtook = record(slower, 0.95, 64, "budget").model_copy(update={"validation": ((40, 0.5), (64, 0.95))})
    assert best_rate([ahead, overtook]) == ahead


def test_the_rates_are_those_of_the_seed_that_was_swept() -> None:
    """Whatever seeds the command names: it summarises all records of the folder."""
    cells = {
        (rate, seed): MEMORY.model_copy(update={"learning_rate": rate, "seed": seed})
        for rate, seed in ((0.01, 2), (0.001, 3), (0.01, 3), (0.001, 4))
    }
    records = {cell: record(cell, 0.5 + cell.learning_rate, 64, "budget") for cell in cells.values()}
    (row,) = summarise_sweep(TINY, records, []).memories
    assert (row.rates_tried, row.learning_rate, row.seeds) == ((0.001, 0.01), 0.01, (2, 3))
    alone = {cell: one for cell, one in records.items() if cell.seed == 4}
    assert summarise_sweep(TINY, alone, []).memories[0].seeds == (4,)


def test_a_memory_with_a_seed_that_diverged_is_not_reported() -> None:
    other = MEMORY.model_copy(update={"seed": 7})
    records = {
        MEMORY: record(MEMORY, 0.9, 64, "budget").model_copy(update={"predictor_r_squared": (0.5,)}),
        other: record(other, 0.0, 24, "diverged").model_copy(update={"predictor_r_squared": None}),
    }
    (row,) = summarise_sweep(TINY, records, []).memories
    assert row.recall is None
    assert row.not_reported == "the training with seed 7 diverged after 24 sequences"
    assert (row.seeds, row.predictor_r_squared) == ((0, 7), ((0.5,), None))
