"""The page of the study: its data, what it says in words, and what `eidolon view` makes of a folder."""

import json
import re
from pathlib import Path

import pytest

from eidolon.benchmark.study.memory.page import PAGE, make_view, read_study
from eidolon.benchmark.study.memory.page_records import MemoryView
from eidolon.benchmark.study.memory.records import MemoryStudy, Outcome
from tests.benchmark.conftest import Cli

COMMITTED = Path(__file__).parents[4] / "results" / "memory"


@pytest.fixture(scope="module")
def study() -> MemoryStudy:
    return read_study(COMMITTED / "memory.json")


def data_of(page: Path) -> MemoryView:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return MemoryView.model_validate_json(found)


def test_the_committed_page_shows_the_committed_numbers(study: MemoryStudy) -> None:
    """`make results` writes it again."""
    assert data_of(COMMITTED / PAGE) == make_view(study)


def test_every_number_is_that_of_the_study(study: MemoryStudy) -> None:
    view = make_view(study)
    assert [one.name for one in view.variants] == [one.variant for one in study.variants]
    for shown, one in zip(view.variants, study.variants, strict=True):
        assert {(p.condition, p.series, p.n): (p.retention, p.accuracy, p.images) for p in shown.points} == {
            (p.condition, p.series, p.n): (p.retention, p.accuracy, p.images) for p in one.retention
        }
        assert (shown.scores, shown.seeds, shown.size) == (one.scores, one.checkpoints, one.size)
        assert shown.main == (one.seeing == "trained" and one.filled_by is None)
    assert view.comparisons == study.comparisons


def test_the_findings_say_what_the_comparisons_found(study: MemoryStudy) -> None:
    def said(**outcomes: Outcome) -> str:
        """What is said if the comparisons of BM with GDN, and those of GDN with SWA, had these outcomes."""
        changed = [
            one.model_copy(update={"outcome": outcomes[one.a]})
            if one.registered and one.a in outcomes
            else one
            for one in study.comparisons
        ]
        return " ".join(make_view(study.model_copy(update={"comparisons": tuple(changed)})).findings)

    assert "gdn and swa are not comparable, because one did not learn to see" in said()
    assert "bm and gdn are not compared, because a store is not" in said(bm="not reported")
    plain = said(bm="not significant", gdn="not significant", attention="not significant")
    assert "keeps more of" not in plain
    assert "no difference between bm and gdn is shown" in plain
    assert "after 64, 256 and 512 tokens gdn keeps more of the image than bm" in said(bm="b keeps more")


def test_view_writes_the_page_beside_the_study(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_bytes((COMMITTED / "memory.json").read_bytes())
    for given in (tmp_path, tmp_path / "memory.json"):
        result = cli("view", given)
        assert (result.code, result.out) == (0, f"written: {tmp_path / PAGE}\n")
        (tmp_path / PAGE).unlink()
    assert cli("view", tmp_path, "--out", tmp_path / "deep").code == 0
    assert (tmp_path / "deep" / "index.html").is_file()


def test_a_file_that_is_no_study_costs_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text(json.dumps({"schema": "eidolon/memory/1"}))
    result = cli("view", tmp_path)
    assert result.code == 2
    assert result.err.startswith(f"error: {tmp_path / 'memory.json'}: is not a memory study: signature: ")


def test_texts_of_the_study_cannot_leave_the_data(study: MemoryStudy, tmp_path: Path, cli: Cli) -> None:
    poisoned = study.model_copy(update={"machine": "</script><script>alert(1)</script>"})
    (tmp_path / "memory.json").write_text(poisoned.to_json())
    assert cli("view", tmp_path).code == 0
    assert "</script><script>alert" not in (tmp_path / PAGE).read_text()
    assert data_of(tmp_path / PAGE).machine == poisoned.machine
