"""Make the pictures of pages that README and docs show, in headless Chromium.

python docs/pictures.py results/runs/demo results docs/_static

The pictures show the demo, the memory study and the leaderboard: data of this repository alone. With a folder as fourth
argument they show the page of a run of your own there, in all forms, for you alone.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MOST_BYTES = 300_000
QUALITIES = (82, 70, 55)
WAIT_S = 120.0
THEMES, WIDTHS = ("light", "dark"), (1440, 390)
TABS = ("", "categories", "text", "answers", "judges", "compare")


@dataclass(frozen=True)
class Shot:
    """A picture of a page."""

    name: str
    page: Path
    fragment: str = ""
    theme: str = "light"
    width: int = 1280
    height: int = 860
    press: tuple[str, ...] = ()
    """Selectors of what the pointer rests on, one after the other."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium without a window."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        sys.exit(f"none of {', '.join(CHROMIUM)} is installed; `make pictures` installs one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def take(browser: Any, shot: Shot, folder: Path) -> Path:
    """Write a picture of a page as WebP and return its path. A page that reports an error ends the program."""
    size = {"width": shot.width, "height": shot.height}
    context = browser.new_context(viewport=size, color_scheme=shot.theme)
    page = context.new_page()
    page.on("pageerror", lambda error: sys.exit(f"{shot.page}: {error}"))
    page.goto(shot.page.resolve().as_uri() + f"#{shot.fragment}")
    page.wait_for_selector(
        "main .panel:visible, main article.sample:visible, main table:visible, main article:visible"
    )
    page.wait_for_timeout(400)  # charts are drawn when their places have a width
    for selector in shot.press:
        page.hover(selector)
    pixels = page.screenshot()
    context.close()
    return save(pixels, folder / f"{shot.name}.webp")


def save(pixels: bytes, path: Path) -> Path:
    """Write pixels as a WebP that is small enough."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(BytesIO(pixels)).convert("RGB")
    for quality in QUALITIES:
        image.save(path, quality=quality, method=6)
        if path.stat().st_size <= MOST_BYTES:
            return path
    sys.exit(f"{path}: is larger than {MOST_BYTES} bytes")


def watched_page(folder: Path) -> Path:
    """Return the page of a run as it is while the run continues."""
    out = folder / "watched"
    run = ["run", "--model", "scenes-base", "--limit", "160", "--batch-size", "8", "--no-cache", "--watch"]
    program = Path(sys.executable).with_name("eidolon")
    with subprocess.Popen(
        [program, *run, "--out", out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as command:
        page, end = out / "watch.html", time.monotonic() + WAIT_S
        while time.monotonic() < end and command.poll() is None:
            time.sleep(0.2)
            text = page.read_text(encoding="utf-8") if page.exists() else ""
            if text.count("data:image/webp") >= 6:
                break
        command.terminate()
    kept = folder / "watch.html"
    kept.write_text(text, encoding="utf-8")
    return kept


def view(folder: Path, *runs: Path) -> Path:
    """Return the page of runs."""
    page = folder / f"{'-'.join(run.name for run in runs)}.html"
    program = Path(sys.executable).with_name("eidolon")
    subprocess.run(
        [program, "view", *runs, "--out", page, "--no-open"], check=True, stdout=subprocess.DEVNULL
    )
    return page


def ours(demo: Path, results: Path, folder: Path) -> Iterator[Shot]:
    """Yield the pictures of the documentation."""
    base, small = demo / "scenes-base", demo / "scenes-small"
    one, both = view(folder, base), view(folder, base, small)
    yield Shot("view-samples", one, "sample=scenes-0-2", press=("mark.hallucinated",))
    yield Shot("view-text", one, "tab=text", theme="dark")
    yield Shot("view-compare", both, "tab=compare", height=1000)
    yield Shot("memory", results / "memory" / "memory.html", width=1360, height=800)
    yield Shot("watch", watched_page(folder), height=900)
    if (board := results / "leaderboard.html").exists():
        yield Shot("leaderboard", board, theme="dark")


def everything(run: Path, folder: Path) -> Iterator[Shot]:
    """Yield pictures of all parts of a run's page, in both themes and at both widths."""
    page = view(folder, run)
    for theme in THEMES:
        for width in WIDTHS:
            for tab in TABS:
                yield Shot(f"{tab or 'samples'}-{theme}-{width}", page, f"tab={tab}", theme, width, 1400)


def main(demo: Path, results: Path, out: Path, own: Path | None = None) -> None:
    """Make all pictures."""
    with TemporaryDirectory() as temporary, chromium() as browser:
        folder = Path(temporary)
        for shot in everything(own, folder) if own else ours(demo, results, folder):
            path = take(browser, shot, out)
            print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
