"""The page of `run --watch`, seen while the run continues, when it is interrupted, fails, resumes and ends."""

import json
import re
from pathlib import Path

import pytest

from eidolon.benchmark.report.live import watch as watches
from eidolon.benchmark.report.live.records import LiveView
from tests.benchmark.conftest import Cli

MODEL = '''
import os, shutil
from pathlib import Path
from eidolon.models.base.model import Response

class Seen:
    """Keeps the page as it is before each batch."""
    def generate(self, requests):
        folder = Path(os.environ["SEEN"])
        number = len(list(folder.glob("*.html")))
        shutil.copy(folder.parent / "out" / "watch.html", folder / f"{number}.html")
        if str(number) == os.environ.get("STOP_AT"):
            raise KeyboardInterrupt
        for request in requests:
            yield "A zebra beside a </script><b>giraffe</b>." if os.environ.get("FAIL") is None else 1 / 0
'''


def view_of(page: Path) -> LiveView:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return LiveView.model_validate_json(found)


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "seen").mkdir()
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    # Every batch makes a page, whatever it takes.
    monkeypatch.setattr(watches, "EVERY_S", 0.0)
    monkeypatch.setattr(watches, "SHARE", 1e9)
    return tmp_path / "seen"


def arguments(seen: Path, *more: object) -> list[object]:
    model = f"python/{seen.parent / 'model.py'}:Seen"
    return ["run", "--model", model, "--limit", 12, "--batch-size", 4, "--no-cache", "--resamples", 20,
            "--out", seen.parent / "out", "--watch", *more]  # fmt: skip


def test_the_page_grows_with_the_run_and_ends_with_a_link(cli: Cli, seen: Path) -> None:
    result = cli(*arguments(seen))
    assert result.code == 0
    page = seen.parent / "out" / "watch.html"
    assert f"status page: {page.as_uri()}\n" in result.err
    before, first, second = (view_of(seen / f"{number}.html") for number in range(3))
    assert [view.status for view in (before, first, second)] == ["running"] * 3
    assert [view.runs[0].counts.responses for view in (before, first, second)] == [0, 4, 8]
    assert second.stage is not None
    assert (second.stage.done, second.stage.total) == (8, 12)
    assert first.runs[0].examples
    example = first.runs[0].examples[0]
    assert "</script><b>" in example.text
    assert {m.category for m in example.mentions if m.verdict == "hallucinated"} == {"zebra", "giraffe"}
    assert (example.picture or "").startswith("data:image/webp;base64,")
    assert "</script><b>" not in (seen / "1.html").read_text()
    last = view_of(page)
    assert (last.status, last.runs[0].state, last.stage) == ("finished", "finished", None)
    run = last.runs[0]
    assert (page.parent / (run.report or "")).is_file()
    scores = json.loads((page.parent / (run.report or "")).with_name("scores.json").read_text())
    assert {number.key: number.estimate.value for number in run.numbers}["chair.chair_i"] == (
        scores["metrics"]["chair"]["chair_i"]["value"]
    )
    assert (run.counts.responses, run.counts.judged) == (12, 12)
    assert all(example.picture for example in run.examples)
    assert cli("check", page.parent).code == 0


def test_an_interrupted_run_says_so_and_the_resumed_one_continues(
    cli: Cli, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOP_AT", "1")
    cli(*arguments(seen))
    page = seen.parent / "out" / "watch.html"
    stopped = view_of(page)
    assert stopped.status == "interrupted"
    assert stopped.runs[0].counts.responses == 4
    monkeypatch.delenv("STOP_AT")
    assert cli(*arguments(seen)).code == 0
    resumed = view_of(seen / "2.html")
    assert resumed.status == "running"
    assert view_of(page).status == "finished"
    assert view_of(page).runs[0].counts.responses == 12


def test_a_run_that_fails_shows_the_error(cli: Cli, seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    assert cli(*arguments(seen)).code == 2
    last = view_of(seen.parent / "out" / "watch.html")
    assert last.status == "failed"
    assert "division by zero" in (last.error or "")


def test_the_scores_are_the_bytes_of_a_run_without_a_page(cli: Cli, seen: Path) -> None:
    assert cli(*arguments(seen)).code == 0
    (watched,) = (seen.parent / "out").glob("*/scores.json")
    other = seen.parent / "other"
    command = [str(a).replace("/out", "/other") for a in arguments(seen) if a != "--watch"]
    assert cli(*command).code == 0
    assert (other / watched.parent.name / "scores.json").read_bytes() == watched.read_bytes()
    assert not (other / "watch.html").exists()


def test_a_page_that_cannot_be_written_costs_the_page_alone(
    cli: Cli, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (seen.parent / "out").mkdir()
    (seen.parent / "out" / "watch.html").write_text("old")
    monkeypatch.setattr(watches, "write_atomically", refuse)
    assert cli(*arguments(seen)).code == 0


def test_the_page_takes_a_small_share_of_the_time(
    cli: Cli, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the page itself moves the clock, so that the pause after a page is what its cost asks for."""
    monkeypatch.setattr(watches, "SHARE", 0.02)
    now = [0.0]

    class Slow(watches.Look):
        looks = 0

        def look(self, pictures: int = 0) -> None:
            now[0] += 1.0
            Slow.looks += 1

    monkeypatch.setattr(watches, "Look", Slow)
    monkeypatch.setattr(watches.Watch.__init__, "__defaults__", (lambda: now[0],))
    assert cli(*arguments(seen)).code == 0
    assert Slow.looks == 2  # the first batch, and the end of the run


def test_a_dry_run_writes_no_page(cli: Cli, seen: Path) -> None:
    assert cli(*arguments(seen, "--dry-run")).code == 0
    assert not (seen.parent / "out").exists()


def test_a_probe_shows_the_questions_of_wrong_answers(cli: Cli, seen: Path) -> None:
    (seen.parent / "model.py").write_text(MODEL.replace("A zebra beside a </script><b>giraffe</b>.", "Yes."))
    assert cli(*arguments(seen, "--task", "probe", "--limit", 3)).code == 0
    run = view_of(seen.parent / "out" / "watch.html").runs[0]
    assert run.counts.responses == run.counts.judged == run.total
    assert run.examples
    assert all(example.text == "Yes." and "?" in (example.prompt or "") for example in run.examples)
    assert run.numbers[0].label == "accuracy"
