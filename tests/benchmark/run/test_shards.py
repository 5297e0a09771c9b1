"""Shards of a run, merged: the files and scores of the run that was not cut."""

import json
import shutil
from pathlib import Path

import pytest

from eidolon.benchmark.run.shards import parse_shard
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import Cli

FILES = ("scores.json", "samples.jsonl", "responses.jsonl", "judgements.jsonl")
RUN = "python-dice.py-Dice"
ALL = ("--max-unscored", "1")
MODEL = """
from eidolon.scorers.core.types import Response

class Dice:
    def generate(self, requests):
        for request in requests:
            dice = request.decoding.seed
            if dice % 7 == 0:
                yield Response(sample_id=request.sample_id, image_id=request.image_id, response=None,
                               generation=request.generation, error="seven")
            elif request.is_question:
                yield ("Yes.", "No.")[dice % 2]
            else:
                yield f"{len(requests)} times a {('dog', 'cat', 'bear')[dice % 3]} and a {('cup', 'car')[dice % 2]}."
"""


@pytest.fixture
def here(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dice.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(out: str, *more: str) -> list[str]:
    return [
        "run", "--model", "python/dice.py:Dice", "--dataset", "folder/pictures", "--out", out, "--no-cache",
        "--batch-size", "3", "--temperature", "1", "--resamples", "50", *ALL, *more,
    ]  # fmt: skip


DESCRIBE, PROBE = (
    ("--generations", "2"),
    ("--task", "probe", "--pairs", "2", "--policy", "all", "--min-objects", "1"),
)


@pytest.mark.parametrize("task", [DESCRIBE, PROBE], ids=["describe", "probe"])
def test_merged_shards_are_the_run(task: tuple[str, ...], here: Path, cli: Cli) -> None:
    assert cli(*asked("whole", *task)).code == 0
    for number in (2, 1, 3):
        found = cli(*asked("cut", *task, "--shard", f"{number}/3"))
        assert found.code == 0, found.err
    merged = cli("merge", "cut", *ALL)
    assert merged.code == 0, merged.err
    whole, cut = here / "whole" / RUN, here / "cut" / RUN
    for name in FILES:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    records = [json.loads((path / "run.json").read_text()) for path in (whole, cut)]
    for field in ("config", "signature", "batches", "sample_ids", "model", "warnings", "name"):
        assert records[0][field] == records[1][field], field
    # Each shard has scores of its own, and says that they are those of a part.
    parts = [here / "cut" / f"shard-{number}-of-3" / RUN for number in (1, 2, 3)]
    shards = [json.loads((path / "run.json").read_text()) for path in parts]
    assert [shard["config"]["inputs"]["shard"] for shard in shards] == ["1/3", "2/3", "3/3"]
    assert all("eidolon merge" in shard["warnings"][0] for shard in shards)
    ids = [one for shard in shards for one in shard["sample_ids"]]
    assert ids == records[0]["sample_ids"]
    assert cli("check", str(cut)).code == 0
    # Again: nothing changes. One command may not continue another shard's folder.
    assert cli("merge", "cut", *ALL).code == 0
    assert (whole / "scores.json").read_bytes() == (cut / "scores.json").read_bytes()


def test_merging_refuses_what_does_not_fit(here: Path, cli: Cli) -> None:
    assert cli(*asked("cut", *DESCRIBE, "--shard", "1/2")).code == 0
    found = cli("merge", "cut", *ALL)
    assert (found.code, "2 (not found)" in found.err) == (2, True), found.err
    partial = cli("merge", "cut", "--partial", "--out", "part", *ALL)
    assert partial.code == 0, partial.err
    assert "shards 1/2 alone" in partial.err
    record = json.loads((here / "part" / RUN / "run.json").read_text())
    assert record["config"]["inputs"]["shard"] == "1/2"
    # Of another run: another seed.
    assert cli(*asked("other", *DESCRIBE, "--shard", "2/2", "--seed", "5")).code == 0
    found = cli("merge", "cut", "other", "--out", "both")
    assert (found.code, "seed is 5" in found.err) == (2, True), found.err
    # The same shard twice, and a file that was changed.
    shutil.copytree("cut", "copy")
    found = cli("merge", "cut", "copy", "--out", "both")
    assert (found.code, "is shard 1/2, as" in found.err) == (2, True), found.err
    assert cli(*asked("cut", *DESCRIBE, "--shard", "2/2")).code == 0
    responses = here / "cut" / "shard-2-of-2" / RUN / "responses.jsonl"
    responses.write_text(responses.read_text().replace("a cup", "a car"))
    found = cli("merge", "cut", *ALL)
    assert (found.code, "was changed since the shard ended" in found.err) == (2, True), found.err
    assert not (here / "both").exists()
    found = cli("merge", "pictures")
    assert (found.code, "no shards" in found.err) == (2, True), found.err


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "1/", "a/b", "1/2/3", "-1/2", "1/99999"])
def test_a_shard_is_k_of_n(text: str) -> None:
    with pytest.raises(UserError, match="must be K/N"):
        parse_shard(text)


def test_shards_hold_whole_batches(here: Path, cli: Cli) -> None:
    found = cli(*asked("cut", "--shard", "1/9"))
    assert found.code == 2
    assert "parts of whole batches" in found.err
    auto = cli(*asked("cut", "--batch-size", "auto", "--shard", "1/2"))
    assert (auto.code, "give a --batch-size below" in auto.err) == (2, True)
    found = cli(*asked("cut", "--task", "forget", "--shard", "1/2"))
    assert (found.code, "cannot be done in shards" in found.err) == (2, True), found.err
    assert not (here / "cut").exists()
