"""Large runs: the size of the file, how much of it is in the page, and that a search goes through all of it.

`bench/page_opening.py` measures how soon such pages take keys.
"""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.report.view.page import write
from tests.browser.conftest import Open
from tests.browser.runs import many_samples, scene_run

INSIDE, MOST_BYTES = 500, 15_000_000
MANY = 50_000


def test_500_samples_are_one_small_file(tmp_path: Path, open_page: Open) -> None:
    run = scene_run(tmp_path, INSIDE, "-D", "image_size=320", "-D", "noise=20")
    assert invoke(["view", str(run)]) == 0
    page_file = run / "view" / "index.html"
    assert [path.name for path in page_file.parent.iterdir()] == ["index.html"]
    assert page_file.stat().st_size <= MOST_BYTES
    page = open_page(page_file).page
    page.keyboard.press("j")
    expect(page.locator("article.sample h2")).to_have_text("scenes-0-1")
    assert page.locator("[role=option]").count() < 40


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    page = folder / "page.html"
    written = write([many_samples(scene_run(folder), MANY)], page)
    assert written.data == folder / "page-data"
    return page


def test_50_000_samples_stay_usable(large: Path, open_page: Open) -> None:
    page = open_page(large, fragment=f"#sample=made-{MANY - 3}").page
    expect(page.locator("article.sample h2")).to_have_text(f"made-{MANY - 3}")
    page.keyboard.press("j")
    expect(page.locator("article.sample h2")).to_have_text(f"made-{MANY - 2}")
    assert page.locator("[role=option]").count() < 60
    page.get_by_label("Verdict").select_option("hallucinated")
    expect(page.locator(".found")).to_contain_text(f"{MANY // 2:,} responses")
    page.get_by_label("Order").select_option("id")
    expect(page.locator("[role=option][aria-posinset='1']")).to_contain_text("made-1")


def test_the_search_reads_all_pages(large: Path, open_page: Open) -> None:
    page = open_page(large).page
    page.get_by_label("Search").fill(f'"number {MANY - 7} has"')
    expect(page.locator(".found")).to_contain_text("1 response of", timeout=30_000)
    expect(page.locator("[role=option]")).to_contain_text([f"made-{MANY - 7}"])


def test_a_page_without_its_folder_says_so(large: Path, open_page: Open, tmp_path: Path) -> None:
    alone = tmp_path / "page.html"
    alone.write_bytes(large.read_bytes())
    watched = open_page(alone)
    expect(watched.page.get_by_role("alert")).to_contain_text("keep the folder beside the page")
    watched.faults[:] = [fault for fault in watched.faults if "ERR_FILE_NOT_FOUND" not in fault]
