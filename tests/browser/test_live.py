"""The page of `run --watch` in a browser: it loads itself again, says how the run ended, and runs no data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.report.live.records import Counts, Example, LiveRun, LiveView, StageView
from eidolon.benchmark.report.view.document import render
from eidolon.benchmark.report.view.records import Number
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Mention
from tests.browser.conftest import Open
from tests.browser.test_accessible import violations
from tests.browser.test_hostile import PAYLOADS

READY = "main article"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def running(done: int, **changes: Any) -> LiveView:
    text = "A cat beside a zebra."
    example = Example(
        sample_id="s-1",
        text=text,
        mentions=(
            Mention(category="cat", text="cat", start=2, end=5, word=1, verdict="grounded"),
            Mention(category="zebra", text="zebra", start=15, end=20, word=4, verdict="hallucinated"),
        ),
        picture=PIXEL,
    )
    counts = Counts(responses=done, judged=done, with_hallucination=1, named=2 * done, hallucinated=1)
    run = LiveRun(name="mine", state="running", total=40, counts=counts, examples=(example,))
    stage = StageView(
        label="mine", done=done, total=40, speed=("2.0 samples/s", "0 errors"), left="10 s left"
    )
    waiting = LiveRun(name="next", state="waiting", total=40)
    fields: dict[str, Any] = {"eidolon": "0", "title": "describe on scenes", "command": "eidolon run --watch",
                              "status": "running", "started": ago(20), "written": ago(0), "every": 0.3,
                              "patience": 60.0, "stage": stage, "runs": (run, waiting)}  # fmt: skip
    return LiveView(**fields | changes)


def ended() -> LiveView:
    number = Number(key="objects.f05", label="F0.5", share=True, estimate=Estimate(value=0.9, ci=(0.8, 0.95)))
    counts = Counts(responses=40, judged=39, unscored=1)
    run = LiveRun(
        name="mine", state="finished", total=40, counts=counts, numbers=(number,), report="mine/report.html"
    )
    return running(40, status="finished", stage=None, runs=(run,))


def put(path: Path, view: LiveView) -> Path:
    write_atomically(path, render(view, view.title, program="live"))
    return path


def test_the_page_follows_the_run_and_stops_at_its_end(tmp_path: Path, open_page: Open) -> None:
    path = put(tmp_path / "watch.html", running(8))
    page = open_page(path, ready=READY).page
    assert page.locator("h1").inner_text() == "Running: describe on scenes"
    assert page.title().startswith("20 % - ")
    assert page.locator("mark.hallucinated").inner_text() == "zebra"
    put(path, running(16))
    page.get_by_text("16 of 40 (40 %)").wait_for()
    put(path, ended())
    page.get_by_text("Finished: describe on scenes").wait_for()
    assert page.get_by_role("link", name="Report of mine").get_attribute("href") == "mine/report.html"
    page.evaluate("window.same = true")
    page.wait_for_timeout(900)
    assert page.evaluate("window.same")


def test_a_reader_can_stop_the_refreshing(tmp_path: Path, open_page: Open) -> None:
    path = put(tmp_path / "watch.html", running(8))
    page = open_page(path, ready=READY).page
    page.get_by_role("button", name="Stop refreshing").click()
    page.evaluate("window.same = true")
    put(path, running(16))
    page.wait_for_timeout(900)
    assert page.evaluate("window.same")
    page.get_by_role("button", name="Refresh again").click()
    page.get_by_text("16 of 40 (40 %)").wait_for()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"status": "interrupted", "stage": None}, "The same command continues the run."),
        ({"status": "failed", "error": "the disk is full"}, "the disk is full"),
        ({"written": ago(600)}, "There has been no news for"),
    ],
)
def test_a_run_that_stopped_says_so(
    tmp_path: Path, open_page: Open, changes: dict[str, Any], text: str
) -> None:
    page = open_page(put(tmp_path / "watch.html", running(8, every=60.0, **changes)), ready=READY).page
    assert text in page.get_by_role("alert").inner_text()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_violation(tmp_path: Path, open_page: Open, theme: str, width: int) -> None:
    for name, view in (
        ("a", running(8, every=60.0)),
        ("b", ended()),
        ("c", running(8, status="interrupted")),
    ):
        page = open_page(put(tmp_path / f"{name}.html", view), ready=READY, theme=theme, width=width).page
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_text_of_the_data_is_text(tmp_path: Path, open_page: Open) -> None:
    examples = tuple(
        Example(sample_id=text, prompt=text, text=text, mentions=(
            Mention(category=text, text=text[:1], start=0, end=1, word=0, verdict="hallucinated"),
            Mention(category=text, text="", start=0, end=0, word=0, verdict="hallucinated")))
        for text in PAYLOADS
    )  # fmt: skip
    everything = "\n".join(PAYLOADS)
    number = Number(key=everything, label=everything, share=True, estimate=Estimate(value=0.5, ci=None))
    run = LiveRun(
        name=everything,
        state="running",
        total=9,
        examples=examples,
        reasons=tuple(PAYLOADS),
        judging=everything,
    )
    done = run.model_copy(update={"state": "finished", "numbers": (number,), "report": "x/report.html"})
    stage = StageView(label=everything, done=1, total=2, speed=tuple(PAYLOADS), left=everything)
    view = running(1, every=60.0, title=everything, command=everything, stage=stage, runs=(run, done))
    path = put(tmp_path / "watch.html", view)
    assert "<img src=x" not in path.read_text().replace("&lt;", "")
    page = open_page(path, ready=READY).page
    assert page.evaluate("window.ran") is None
    assert page.locator("main img, main iframe, main svg, main form, main input").count() == 0
    assert "<script>window.ran=1</script>" in page.locator("main").inner_text()
    failed = put(tmp_path / "failed.html", running(1, status="failed", error=everything))
    assert open_page(failed, ready=READY).page.evaluate("window.ran") is None
