"""Responses judged by other processes: the judgements of this one, whatever its batches."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.engine.mapping import BatchFunction
from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.run.executor import judged_by
from eidolon.benchmark.run.pipeline import execute
from eidolon.benchmark.run.score_plan import load_score_settings, make_score_plan
from eidolon.benchmark.tasks.describe import far_judging, work
from tests.benchmark.conftest import write_lines

NAMES = ("dog", "cat", "red car", "bus", "zebra")


@dataclass
class Sent:
    """A mapper whose functions pass through pickle, as those that go to another machine."""

    asked: list[tuple[int, bool]] = field(default_factory=list)

    def map(self, function: BatchFunction, count: int, *, light: bool = False) -> Iterator[tuple[str, bytes]]:
        self.asked.append((count, light))
        sent: Any = pickle.loads(pickle.dumps(function))
        for batch in range(count):
            yield "one", sent(batch)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty responses, one of them empty, in batches of six."""
    monkeypatch.setattr(work, "JUDGE_BATCH", 6)
    texts = [f"A {NAMES[i % 5]} — and a {NAMES[i % 3]} is\u2028here." for i in range(39)]
    write_lines(
        tmp_path / "responses.jsonl",
        [{"image_id": i, "response": text} for i, text in enumerate([*texts, ""])],
    )
    write_lines(tmp_path / "objects.jsonl", [{"image_id": i, "objects": ["dog"]} for i in range(40)])
    return tmp_path


def scored(files: Path, out: str, mapper: Sent | None) -> Path:
    flags = {"responses": files / "responses.jsonl", "objects": files / "objects.jsonl", "resamples": 20}
    plan = make_score_plan(load_score_settings(None, flags), files / out)
    run = plan.run if mapper is None else judged_by(plan.run, mapper)
    execute(run, plan.producer, render_report)
    return files / out


def test_judgements_are_those_of_one_process_and_are_resumed(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far_judging, "WORTHWHILE", 1)
    here, mapper = scored(files, "here", None), Sent()
    far = scored(files, "far", mapper)
    assert mapper.asked == [(7, True)]
    lines = (here / "judgements.jsonl").read_bytes()
    assert (far / "judgements.jsonl").read_bytes() == lines
    # The kill of a session leaves two whole batches and a part.
    kept = lines.splitlines(keepends=True)
    (far / "judgements.jsonl").write_bytes(b"".join(kept[:13]))
    (far / "scores.json").unlink()
    scored(files, "far", mapper)
    assert mapper.asked[1:] == [(5, True)]
    assert (far / "judgements.jsonl").read_bytes() == lines


def test_few_batches_of_a_fast_judge_are_judged_here(files: Path) -> None:
    mapper = Sent()
    scored(files, "out", mapper)
    assert mapper.asked == []
