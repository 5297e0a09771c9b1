"""axe-core finds nothing of serious or critical impact, in both themes, at both widths, in every part of a page."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.cli import invoke
from tests.browser.conftest import Open
from tests.browser.runs import change_lines, probe_run, scene_run

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")
OPTIONS = json.dumps({"resultTypes": ["violations"]})


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    runs = {"describe": scene_run(folder / "a"), "probe": probe_run(folder / "b")}
    for run in runs.values():
        assert invoke(["view", str(run)]) == 0
    both = folder / "both.html"
    assert invoke(["view", *map(str, runs.values()), "--out", str(both)]) == 0
    alike = folder / "alike"
    shutil.copytree(runs["describe"], alike)
    change_lines(alike / "judgements.jsonl", _drop_a_mention)
    twins = folder / "twins.html"
    assert invoke(["view", str(runs["describe"]), str(alike), "--out", str(twins)]) == 0
    return {name: run / "view" / "index.html" for name, run in runs.items()} | {"both": both, "twins": twins}


def _drop_a_mention(index: int, row: dict[str, Any]) -> None:
    row["mentions"] = row["mentions"][: -1 if index == 1 else None]


def violations(page: Any) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run(document, {OPTIONS})")["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:150]} {one['nodes'][0].get('failureSummary', '')[:300]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "part",
    [
        "describe",
        "describe#tab=categories",
        "describe#tab=text",
        "probe",
        "probe#tab=answers",
        "both#tab=compare",
        "twins#tab=compare",
    ],
)
def test_no_serious_violation(
    pages: dict[str, Path], open_page: Open, part: str, theme: str, width: int
) -> None:
    name, _, fragment = part.partition("#")
    page = open_page(pages[name], fragment=f"#{fragment}&sample=scenes-0-1", theme=theme, width=width).page
    for summary in page.locator("summary:visible").all():
        summary.click()
    if page.locator("mark:visible").count():
        page.locator("mark").first.focus()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("Escape")


def test_the_help_has_none_either(pages: dict[str, Path], open_page: Open) -> None:
    page = open_page(pages["describe"], theme="dark").page
    page.get_by_role("button", name="Keys").click()
    assert violations(page) == []
