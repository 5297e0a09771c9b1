"""The selection of samples: from a file, or random."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.selection import choose
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import Cli, read_lines


def pick(folder: Path, ids: str | None = None, **settings: object) -> list[str]:
    """Return the ids of the samples that are selected from the ten images."""
    file = None
    if ids is not None:
        file = folder.parent / "ids.txt"
        file.write_text(ids, encoding="utf-8")
    given = {"limit": None, "seed": 0, "options": {}, "sample_ids": file, **settings}
    source = load_dataset(f"folder/{folder}", **given)  # type: ignore[arg-type]
    return [sample.sample_id for sample in source.samples]


def test_named_samples_keep_the_order_of_the_dataset(picture_folder: Path) -> None:
    assert pick(picture_folder, "7\n\n 2 \r\n") == ["2", "7"]
    assert pick(picture_folder, "\ufeff9\n2\n0", limit=2) == ["0", "2"]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ("1\n11\n", r'ids\.txt:2: --dataset folder/.* has no sample "11"; did you mean "1"\?'),
        ("dog\n", r'ids\.txt:1: .* has no sample "dog"; it has 10, the first is "0"'),
        ("3\n\n3\n", r'ids\.txt:3: sample id "3" is on line 1 already'),
        ("\n \n", r"ids\.txt: holds no sample ids"),
    ],
)
def test_mistakes_in_the_file(picture_folder: Path, ids: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        pick(picture_folder, ids)


def test_no_such_file(picture_folder: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.txt: no such file"):
        pick(picture_folder, sample_ids=Path("nowhere.txt"))


def test_random_samples_follow_the_seed(picture_folder: Path) -> None:
    drawn = {seed: pick(picture_folder, pick="random", limit=4, seed=seed) for seed in range(8)}
    assert drawn[0] == pick(picture_folder, pick="random", limit=4, seed=0)
    assert len({tuple(ids) for ids in drawn.values()}) > 3
    assert all(ids == sorted(ids) and len(set(ids)) == 4 for ids in drawn.values())
    assert len(pick(picture_folder, pick="random")) == 10


@given(
    ids=st.lists(st.text(min_size=1, max_size=4), unique=True, min_size=1, max_size=30),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_fewer_are_a_subset_of_more_in_any_order(ids: list[str], seed: int, data: st.DataObject) -> None:
    few, many = sorted(data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30))))

    def drawn(names: list[str], limit: int) -> set[str]:
        places = choose(names, "mine", limit, seed, None, "random")
        assert places == sorted(set(places))
        return {names[place] for place in places}

    shuffled = ids[:]
    random.Random(seed).shuffle(shuffled)
    assert drawn(ids, few) <= drawn(ids, many)
    assert len(drawn(ids, few)) == min(few, len(ids))
    assert drawn(shuffled, few) == drawn(ids, few)


def test_every_sample_is_drawn_equally_often() -> None:
    ids = [f"s{i}" for i in range(20)]
    counts = [0] * 20
    for seed in range(2000):
        for place in choose(ids, "mine", 5, seed, None, "random"):
            counts[place] += 1
    assert 400 < min(counts) <= max(counts) < 600  # expected 500, standard deviation 19


def test_a_generated_dataset_is_selected_from_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("scenes-0-2\n")
    options = {"image_size": "32"}
    source = load_dataset("scenes", limit=3, seed=0, options=options, sample_ids=file)
    whole = load_dataset("scenes", limit=3, seed=0, options=options)
    assert [s.image_sha256 for s in source.samples] == [whole.samples[2].image_sha256]


def test_on_the_command_line(picture_folder: Path, replay_file: Path, cli: Cli, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("4\n8\n")
    command = [
        "run",
        "--dataset",
        f"folder/{picture_folder}",
        "--model",
        f"replay/{replay_file}",
        "--resamples",
        0,
    ]
    assert cli(*command, "--sample-ids", ids, "--out", tmp_path / "out").code == 0
    (samples,) = (tmp_path / "out").glob("*/samples.jsonl")
    assert [row["sample_id"] for row in read_lines(samples)] == ["4", "8"]
    ids.write_text("4\n9\n")
    again = cli(*command, "--sample-ids", ids, "--out", tmp_path / "out")
    assert (again.code, "holds a different run" in again.err) == (2, True)
    wrong = cli(*command, "--pick", "last", "--limit", 2, "--out", tmp_path / "out2")
    assert wrong.code == 2
    assert "--pick: input should be 'first' or 'random'" in wrong.err
