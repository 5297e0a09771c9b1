"""Measures how soon pages of `eidolon view` and of leaderboards take keys in Chromium, from disk.

    python bench/page_opening.py PAGE.html… [--repeats N] [--json FILE]

The pages are opened in turn, each time in a new window. The first page is the reference of the ratios: give a small
one first, then large ones.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

READY = ", ".join(
    f"main {part}:visible" for part in ("article.sample", ".panel", ".reason", "table", "[role=option]")
)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Print a table, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        parser.error(f"none of {', '.join(CHROMIUM)} is installed")
    seconds: dict[Path, list[float]] = {page: [] for page in asked.pages}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(asked.repeats):
            for page, found in seconds.items():
                found.append(_opening(browser, page))
        browser.close()
    reference = statistics.median(seconds[asked.pages[0]])
    rows = []
    print(f"{'s, median':>9} {'least':>6} {'most':>6} {'ratio':>6} {'MB':>6}  page")
    for page, found in seconds.items():
        middle, size = statistics.median(found), page.stat().st_size / 1e6
        print(
            f"{middle:9.2f} {min(found):6.2f} {max(found):6.2f} {middle / reference:6.2f} {size:6.1f}  {page}"
        )
        rows.append({"name": str(page), "measured": middle, "seconds": found, "ratio": middle / reference})
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _opening(browser: Any, path: Path) -> float:
    """Return the seconds from the start of loading until the page has rendered what its keys act on."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(path.resolve().as_uri(), wait_until="commit")
    page.wait_for_selector(READY)
    found = page.evaluate("performance.now()") / 1000
    context.close()
    return float(found)


if __name__ == "__main__":
    main()
