"""The page of a leaderboard in a browser: groups, order, filters, search, links, hostile texts, size and access."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.report.board.export import write_files
from eidolon.benchmark.report.board.page import board_view
from eidolon.benchmark.report.leaderboard import SCHEMA, Leaderboard
from eidolon.benchmark.report.view.document import render
from tests.benchmark.report.board.boards import estimate, made_board, made_row
from tests.browser.conftest import Open
from tests.browser.test_accessible import violations
from tests.browser.test_hostile import PAYLOADS

RUNS = 40
UNDEFINED = "\N{EN DASH}"
ROW = ".board tbody tr:not(.details)"


def written(board: Leaderboard, folder: Path, name: str = "board.html") -> Path:
    page = folder / name
    write_files(board, folder, {"--html": page})
    return page


@pytest.fixture(scope="module")
def board_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of runs. Two have a folder: one with `report.html`, one with a page of its own."""
    folder = tmp_path_factory.mktemp("board")
    for name, file in (("model-0001", "report.html"), ("model-0002", "view/index.html")):
        target = folder / "runs" / name / file
        target.parent.mkdir(parents=True)
        target.write_text("<!doctype html><title>A report</title><p>The report.</p>")
    return written(made_board(RUNS), folder)


@pytest.fixture
def open_board(open_page: Open) -> Open:
    return partial(open_page, ready="main table:visible, main .reason:visible")


def groups(page: Any) -> list[list[str]]:
    """Return the names of the runs of each group, in their order."""
    shown = [
        section.locator(f"{ROW} th").all_inner_texts() for section in page.locator("section.group").all()
    ]
    return [[name for text in texts for name in re.findall(r"model-\d+", text)] for texts in shown]


def column(section: Any, heading: str) -> list[str]:
    headings = section.locator("thead th").all_inner_texts()
    (place,) = (i for i, text in enumerate(headings) if text.startswith(heading))
    return [row.locator("th, td").nth(place).inner_text() for row in section.locator(ROW).all()]


def test_only_comparable_runs_stand_together(board_file: Path, open_board: Open) -> None:
    page = open_board(board_file).page
    board = made_board(RUNS)
    wanted: dict[str, list[str]] = {}
    for row in board.rows:
        wanted.setdefault(row.parts.line(), []).append(row.name)
    assert sorted(map(sorted, groups(page))) == sorted(map(sorted, wanted.values()))
    special = page.locator("section.group .special").first.inner_text()
    assert "decoding" in special and "judge" in special  # noqa: PT018
    assert "prompt" not in special
    page.get_by_label("Group runs that").select_option("1")
    wider = groups(page)
    assert 1 < len(wider) < len(wanted)
    assert sum(map(len, wider)) == RUNS
    assert "decoding" not in page.locator("section.group .special").first.inner_text()


def test_the_best_headline_comes_first_and_a_click_sorts_every_table(
    board_file: Path, open_board: Open
) -> None:
    page = open_board(board_file).page
    section = page.locator("section.group").first
    values = [text.split()[0] for text in column(section, "F0.5")]
    known = [float(value) for value in values if value != UNDEFINED]
    assert known == sorted(known, reverse=True)
    assert values[len(known) :] == [UNDEFINED] * (len(values) - len(known))
    assert section.locator("th[aria-sort=descending]").inner_text().startswith("F0.5")
    section.get_by_role("button", name="CHAIR_i").click()
    for one in page.locator("section.group").all():
        low = [float(text.split()[0]) for text in column(one, "CHAIR_i")]
        assert low == sorted(low)
        assert one.locator("th[aria-sort=ascending]").count() == 1
    assert "sort=%2Bchair.chair_i" in page.url
    section.get_by_role("button", name="words").click()
    words = [float(text) for text in column(section, "words")]
    assert words == sorted(words, reverse=True)
    section.get_by_role("button", name="model", exact=True).click()
    names = groups(page)[0]
    assert names == sorted(names)
    section.get_by_role("button", name="model", exact=True).click()
    assert groups(page)[0] == names[::-1]


def test_length_and_recall_stand_beside_the_rate_with_its_interval(
    board_file: Path, open_board: Open
) -> None:
    page = open_board(board_file, fragment="#q=model-0005").page
    section = page.locator("section.group")
    headings = [
        text.partition("\n")[0].split(" ")[0] for text in section.locator("thead th").all_inner_texts()
    ]
    assert headings[:7] == ["model", "n", "F0.5", "recall", "words", "CHAIR_i", "CHAIR_s"]
    assert headings[7:] == ["decoding", "judge", "dataset", "doctor"]
    row = made_row(5)
    low, high = row.metrics["objects"]["f05"].ci or (0, 0)
    (cell,) = column(section, "F0.5")
    assert cell.split() == [f"{row.metrics['objects']['f05'].value:.3f}", f"{low:.3f}", "to", f"{high:.3f}"]
    bars = section.locator("td.with-bar svg")
    assert bars.count() == 4
    ends = bars.first.evaluate(
        "bar => [...bar.querySelectorAll('.band, circle')].map(e => +(e.getAttribute('x1') ?? e.getAttribute('cx')))"
    )
    assert ends[0] < ends[1]
    assert column(section, "doctor") == ["failed padding, seeds"]


def test_filters_and_search_keep_what_they_say(board_file: Path, open_board: Open) -> None:
    page = open_board(board_file).page
    rows = made_board(RUNS).rows
    page.get_by_label("Judge").select_option(label="lexicon(reading=original,vocabulary=coco80)")
    kept = [name for group in groups(page) for name in group]
    assert sorted(kept) == [row.name for row in rows if "original" in (row.parts.judge or "")]
    page.get_by_label("Doctor").select_option("failed")
    kept = [name for group in groups(page) for name in group]
    assert sorted(kept) == [
        row.name for row in rows if "original" in (row.parts.judge or "") and row.doctor == "failed"
    ]
    assert f"{len(kept)} run" in page.locator(".found").inner_text()
    page.get_by_role("button", name="Show all", exact=True).click()
    page.keyboard.press("/")
    page.keyboard.type('"text of scenes" GREEDY')
    page.wait_for_url("**q=*")
    kept = [name for group in groups(page) for name in group]
    assert kept == [row.name for row in rows if row.warnings and row.parts.decoding == "greedy"]
    page.get_by_label("Search").fill("no such model")
    page.wait_for_selector("text=No run passes these filters")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show all", exact=True).click()
    assert sum(map(len, groups(page))) == RUNS


def test_a_link_leads_to_its_run_even_if_a_filter_hides_it(board_file: Path, open_board: Open) -> None:
    page = open_board(board_file, fragment="#run=runs%2Fmodel-0016&doctor=failed").page
    chosen = page.locator("tr.chosen")
    assert "model-0016" in chosen.inner_text()
    assert chosen.evaluate("row => row.getBoundingClientRect().top") < 900
    details = page.locator("tr.details")
    assert "the judge knows the text of Scenes alone" in details.inner_text()
    assert "the run has warnings, so that its headline says little" in details.inner_text()
    href = details.get_by_text("link to this row").get_attribute("href")
    assert href == "#run=runs%2Fmodel-0016"
    page.goto(board_file.as_uri() + "#run=runs%2Fmodel-0003&sort=%2Bobjects.f05")
    assert "model-0003" in page.locator("tr.chosen").inner_text()
    assert page.locator("th[aria-sort=ascending]").first.inner_text().startswith("F0.5")


def test_a_row_links_to_its_report(board_file: Path, open_board: Open) -> None:
    page = open_board(board_file).page
    assert page.locator(".board th a").count() == 2
    assert (
        page.get_by_role("link", name="model-0001").get_attribute("href") == "./runs/model-0001/report.html"
    )
    page.get_by_role("link", name="model-0002").click()
    page.wait_for_url("**/runs/model-0002/view/index.html")
    assert "The report." in page.locator("body").inner_text()


def test_the_keyboard_alone_is_enough(board_file: Path, open_board: Open) -> None:
    page = open_board(board_file).page
    names = [name for group in groups(page) for name in group]
    for _ in range(2):
        page.keyboard.press("j")
    assert names[1] in page.evaluate("document.activeElement.closest('tr').innerText")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    assert names[0] in page.locator("tr.details").inner_text()
    page.keyboard.press("j")
    assert names[1] in page.evaluate("document.activeElement.closest('tr').innerText")
    page.keyboard.press("/")
    page.keyboard.type("j")
    assert page.get_by_label("Search").input_value() == "j"


@pytest.mark.parametrize("count", [0, 1])
def test_few_runs_have_a_page(tmp_path: Path, open_board: Open, count: int) -> None:
    page = open_board(written(made_board(count), tmp_path)).page
    assert page.locator("section.group").count() == count
    assert page.locator("text=This leaderboard has no runs").count() == 1 - count
    assert page.locator("circle").count() == 4 * count


def test_undefined_numbers_and_odd_axes(tmp_path: Path, open_board: Open) -> None:
    """A column without any value, values that are all equal, zero, and ratios far apart."""
    metrics = [
        {
            "objects": {"f05": estimate(None), "recall": estimate(0.0, 0.0)},
            "chair": {"words": estimate(None)},
        },
        {"objects": {"f05": estimate(None), "recall": estimate(0.0, 0.0)}},
    ]
    rows = [made_row(13 + 12 * i, metrics=one, parts=made_row(13).parts) for i, one in enumerate(metrics)]
    forget = {
        "adjusted_odds_ratio_per_100_words": estimate(1e6, 0),
        "pdm_decay_per_100_tokens": estimate(-0.5, 0),
    }
    rows.append(made_row(1, metrics={"forgetting": forget}, task="forget"))
    page = open_board(written(Leaderboard(schema=SCHEMA, rows=tuple(rows)), tmp_path)).page
    for bar in page.locator("svg circle").all():
        assert 0 <= float(bar.get_attribute("cx")) <= 130
    assert column(page.locator("section.group").first, "F0.5") == [UNDEFINED] * 2


def test_a_thousand_runs_stay_usable(tmp_path: Path, open_board: Open) -> None:
    page = open_board(written(made_board(1000), tmp_path)).page
    assert "1,000 runs of 1,000" in page.locator(".found").inner_text()
    page.get_by_role("button", name="words").first.click()
    page.wait_for_url("**sort=*")
    page.get_by_label("Group runs that").select_option("1")
    page.get_by_label("Search").fill("model-09")
    page.wait_for_function("document.querySelectorAll('.board tbody tr').length === 100")
    page.get_by_label("Search").fill("")
    page.get_by_role("button", name="Show the other").first.click()
    first = page.locator("section.group").first
    assert first.locator("h2 .dim").inner_text() == f"{first.locator(ROW).count()} runs"


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_violation(board_file: Path, open_board: Open, theme: str, width: int) -> None:
    page = open_board(board_file, fragment="#run=runs%2Fmodel-0016", theme=theme, width=width).page
    for summary in page.locator("summary:visible").all()[:2]:
        summary.click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def poisoned_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page in which every text of somebody else is a payload, links among them."""
    folder = tmp_path_factory.mktemp("poisoned")
    count = len(PAYLOADS)
    rows = []
    for index, text in enumerate(PAYLOADS):
        row = made_row(index)
        one, two, three = (PAYLOADS[(index + by) % count] for by in (1, 2, 3))
        parts = row.parts.model_copy(
            update={"judge": one if index % 2 else text, "decoding": two, "prompt": three, "dataset": text}
        )
        metrics = row.metrics | (
            {text: {two: estimate(0.5)}, "chair": row.metrics["chair"]} if index % 3 else {}
        )
        rows.append(
            made_row(
                index, name=text, run=f"{index} {text}", parts=parts, signature=parts.line(), metrics=metrics,
                warnings=(one, two), doctor="failed", doctor_failed=(three,),
            )
        )  # fmt: skip
    view = board_view(Leaderboard(schema=SCHEMA, rows=tuple(rows)), folder, folder)
    # Our own code writes no such links; a page could be made from a changed document.
    view = view.model_copy(
        update={
            "rows": tuple(
                row.model_copy(update={"link": PAYLOADS[index % count], "opens": "page"})
                for index, row in enumerate(view.rows)
            )
        }
    )
    page = folder / "board.html"
    page.write_text(render(view, PAYLOADS[0]), encoding="utf-8")
    return page


def test_hostile_texts_are_shown_and_not_run(poisoned_file: Path, open_board: Open) -> None:
    page = open_board(poisoned_file).page
    while page.get_by_role("button", name="Show the other").count():
        page.get_by_role("button", name="Show the other").first.click()
    page.evaluate("document.querySelectorAll('button.unfold, summary').forEach(one => one.click())")
    page.wait_for_function("document.querySelectorAll('tr.details').length >= 40")
    shown = page.locator("main").inner_text()
    for text in PAYLOADS:
        if text.isascii() and text.isprintable() and "  " not in text:
            assert text in shown, text
    assert page.locator("a:not([href^='#run='])").count() == 0
    assert (
        page.locator("main :is(script, img, iframe, object, embed, style, base, form form, video)").count()
        == 0
    )
    assert page.evaluate("window.ran") is None
    for label in ("Judge", "Decoding", "Dataset"):
        options = page.get_by_label(label).locator("option")
        page.get_by_label(label).select_option(index=options.count() - 1)
        assert page.locator(f"{ROW}").count() >= 1
        page.get_by_role("button", name="Show all", exact=True).click()
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize(
    "fragment", ["#run=<img src=x>&sort=__proto__&wide=x", "#sort=-constructor&judge=toString&q=%00", "#&&=="]
)
def test_an_address_breaks_nothing(board_file: Path, open_board: Open, fragment: str) -> None:
    page = open_board(board_file, fragment=fragment).page
    assert page.locator(".found").count() == 1
