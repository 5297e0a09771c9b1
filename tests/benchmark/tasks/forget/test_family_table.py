"""The tables and the figure of several runs of `forget`."""

from pathlib import Path

import pytest

from bench.table_forgetting import (
    FOUND,
    Found,
    cloze_table,
    effects_table,
    family_figure,
    odds,
    plain,
    position_table,
    read,
)
from eidolon.benchmark.drawing.style import SCREEN, png
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.cloze import ClozeSummary, no_cloze
from eidolon.scorers.forgetting.interventions import no_interventions
from eidolon.scorers.forgetting.knowledge import KnowledgeSummary

ROOT = Path(__file__).parents[4]
NOTHING = Estimate.undefined("too few")


def found(name: str, held: Estimate, change: Estimate) -> Found:
    return Found(
        name=name,
        images=12,
        plain=NOTHING,
        knowledge=KnowledgeSummary.model_construct(
            hallucinated=3,
            mentions=20,
            plain=Estimate(value=140.0, ci=(1.5, 1234.0)),
            position_given_knowledge=held,
            knowledge=NOTHING,
            verdict="rises",
        ),
        cloze=ClozeSummary(images=12, points=(), change=change, verdict="falls"),
        changed=no_interventions("not asked"),
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Estimate(value=0.0423, ci=(0.00051, 32.4)), "0.042 [0.00051, 32]"),
        (Estimate(value=140.0, ci=(1.5, 1234.0)), "140 [1.5, 1,200]"),
        (Estimate(value=2.0, ci=None), "2"),
        (NOTHING, "-"),
    ],
)
def test_odds_ratios_have_two_digits(number: Estimate, text: str) -> None:
    assert odds(number) == text


def test_differences_have_a_sign() -> None:
    assert (
        plain(Estimate(value=-0.126, ci=(-0.2, 0.3)), "+") == "\N{MINUS SIGN}0.13 [\N{MINUS SIGN}0.20, +0.30]"
    )
    assert plain(None) == plain(NOTHING) == "-"


def test_a_run_without_a_number_has_a_row_and_no_mark(tmp_path: Path) -> None:
    runs = [
        found("memory/bm", Estimate(value=2.4, ci=(0.46, 13.0)), Estimate(value=-0.4, ci=(-0.5, -0.3))),
        found("scenes-small", NOTHING, no_cloze("too short").change),
    ]
    rows = position_table(runs)
    assert rows[2] == "| `memory/bm` | 12 | 3 of 20 | - | 140 [1.5, 1,200] | 2.4 [0.46, 13] | - | rises |"
    assert rows[3].startswith("| `scenes-small` | 12 | 3 of 20 | - | 140 [1.5, 1,200] | - |")
    drawn = png(lambda: family_figure(runs, SCREEN))
    assert drawn == png(lambda: family_figure(runs, SCREEN))
    assert drawn.startswith(b"\x89PNG")


def test_the_page_has_the_tables_of_the_committed_results(tmp_path: Path) -> None:
    runs = read(ROOT / "results/memory/forgetting.json")
    (tmp_path / "again.json").write_bytes(FOUND.dump_json(runs))
    assert read(tmp_path / "again.json") == runs
    page = (ROOT / "docs/evidence/memory-forgetting.md").read_text(encoding="utf-8").splitlines()
    for table in (position_table(runs), cloze_table(runs), effects_table(runs)):
        start = page.index(table[0])
        assert page[start : start + len(table)] == table
