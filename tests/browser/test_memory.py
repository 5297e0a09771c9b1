"""The page of the memory study in a browser: every part, its choices, and hostile names."""

from pathlib import Path

import pytest

from eidolon.benchmark.report.view.document import render
from eidolon.benchmark.study.memory.page import make_view, read_study
from eidolon.benchmark.study.memory.records import MemoryStudy
from tests.browser.conftest import Open
from tests.browser.test_accessible import violations
from tests.browser.test_hostile import PAYLOADS

COMMITTED = Path(__file__).parents[2] / "results" / "memory"
TABS = ("", "verdicts", "descriptions", "text", "cost")


@pytest.fixture(scope="module")
def study() -> MemoryStudy:
    return read_study(COMMITTED / "memory.json")


@pytest.fixture(scope="module")
def page_file(study: MemoryStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory") / "memory.html"
    path.write_text(render(make_view(study), "memory"))
    return path


def test_choices_change_what_is_shown(page_file: Path, open_page: Open, study: MemoryStudy) -> None:
    page = open_page(page_file).page
    sees = [one.variant for one in study.variants if one.seeing == "trained" and one.filled_by is None]
    assert page.locator("main .panel h3").all_inner_texts() == sees
    assert len(sees) >= 3
    page.get_by_label("Variants").select_option("trained")
    trained = [one for one in study.variants if one.filled_by is None]
    assert len(sees) <= page.locator("main .panel h3").count() <= len(trained)
    page.get_by_label("Text", exact=True).select_option(label="after the description of another image")
    assert "another image" in page.locator("main .wide-lead").inner_text()
    page.get_by_label("Measure").select_option("accuracy")
    assert page.locator("main .panel svg[role=img]").count() >= len(sees)
    page.get_by_role("tab", name="Comparisons").click()
    assert page.locator("main .panel").first.locator("tbody tr").count() == study.registered
    page.get_by_label("Pair").select_option("attention and gdn")
    page.get_by_role("tab", name="Cost").click()
    assert page.get_by_role("heading", name="Memory of one sequence after 8,192 tokens").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.url.endswith("#")


def test_a_circle_is_one_seed(page_file: Path, open_page: Open, study: MemoryStudy) -> None:
    page = open_page(page_file).page
    attention = page.locator("main .panel").first
    seeds = next(one for one in study.variants if one.variant == "attention").checkpoints
    titles = [text for text in attention.locator("svg title").all_text_contents() if text.startswith("seed")]
    assert len(titles) == sum(value is not None for seed in seeds for value in seed.retention.values())


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_violation(page_file: Path, open_page: Open, theme: str, width: int) -> None:
    page = open_page(page_file, theme=theme, width=width).page
    for name in TABS:
        page.locator(f"[id='tab-{name}']").click()
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_hostile_names_are_text(study: MemoryStudy, tmp_path: Path, open_page: Open) -> None:
    variants = [
        one.model_copy(update={"variant": f"{number} {text}", "seeing": "trained"})
        for number, (one, text) in enumerate(zip(study.variants * 3, PAYLOADS, strict=False))
    ]
    compared = [
        one.model_copy(update={"a": text, "b": text, "reason": text})
        for one, text in zip(study.comparisons, PAYLOADS, strict=False)
    ]
    changes = {"variants": tuple(variants), "comparisons": tuple(compared)}
    poisoned = study.model_copy(update=changes | {"machine": PAYLOADS[0], "signature": PAYLOADS[1]})
    path = tmp_path / "memory.html"
    path.write_text(render(make_view(poisoned), PAYLOADS[1]))
    page = open_page(path).page
    page.get_by_text("Where this comes from").click()
    for name in TABS:
        page.locator(f"[id='tab-{name}']").click()
        page.wait_for_timeout(100)
        assert page.locator("main img, main iframe, main form, main object, main script").count() == 0
    assert page.evaluate("window.ran") is None
