"""The browser of these tests, and pages that must keep quiet: no error on the console, no request to anywhere else.

`make browser` runs them, with a Chromium that it installs where there is none.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BROWSER_VARIABLE = "EIDOLON_WITH_BROWSER"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

READY = "[role=tab] then main article.sample:visible, main .panel:visible, main .reason:visible, main table:visible"
"""What a page shows when it takes keys."""

if not os.environ.get(BROWSER_VARIABLE):
    collect_ignore_glob = ["test_*.py"]


@dataclass
class Watched:
    """A page in the browser, and everything that it did and should not."""

    page: Any
    faults: list[str] = field(default_factory=list)


Open = Callable[..., Watched]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start Chromium without a window."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.fail(f"none of {', '.join(CHROMIUM)} is installed; `make browser` installs one")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open a file in a window of its own, and check at the end of the test that the page kept quiet."""
    opened: list[tuple[Any, Watched]] = []

    def call(
        path: Path,
        *,
        fragment: str = "",
        theme: str = "light",
        width: int = 1440,
        ready: str = READY,
        **options: Any,
    ) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **options)
        watched = Watched(context.new_page())
        page, faults = watched.page, watched.faults
        page.set_default_timeout(8000)
        page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("popup", lambda _: faults.append("a window was opened"))
        folder = path.parent.as_uri()
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((folder, "data:"))
                else faults.append(f"request: {request.url[:200]}")
            ),
        )
        opened.append((context, watched))
        page.goto(path.as_uri() + fragment, wait_until="commit")
        for selector in ready.split(" then "):
            page.wait_for_selector(selector)
        return watched

    yield call
    faults = [fault for _, watched in opened for fault in watched.faults]
    for context, _ in opened:
        context.close()
    assert not faults
