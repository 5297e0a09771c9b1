"""Writes a page: one HTML file, or for many samples an HTML file and a folder with pages of data.

The page runs from disk and loads nothing from elsewhere. Its Content-Security-Policy names the hash of the one script
and of the one style sheet, so that nothing else can run, whatever the data holds. The data is JSON in a script block
of a type that is never executed.
"""

import base64
import hashlib
import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eidolon.benchmark.report.view.collect import CollectedRun, batches
from eidolon.benchmark.report.view.pictures import data_uri
from eidolon.benchmark.report.view.records import Pair, RunView, View
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.forgetting.subsets import EARLY, LATE

ASSETS = Path(__file__).parent / "assets"
MOST_INSIDE = 500
"""The most samples of all runs that one file holds."""
PAGE_SIZE = 250
"""Samples in one file of data."""
PICTURES_IN_FOLDER = 1000
TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="app"><noscript><p>This page shows its data with JavaScript, which is switched off here.</p></noscript></div>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Written:
    """The page that was written."""

    page: Path
    data: Path | None
    """The folder with the data of a page of many samples. The page needs it beside itself."""


def write(
    runs: Sequence[CollectedRun],
    page: Path,
    *,
    pairs: Sequence[Pair] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write the page of runs. `progress` is called with the number of samples that were written since the last call.

    Raises:
        UserError: the place cannot be written.
    """
    count = sum(len(run.shown) for run in runs)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        if count <= MOST_INSIDE:
            views, folder = [_inside(run, progress) for run in runs], None
        else:
            folder = page.parent / f"{page.stem}-data"
            folder.mkdir(exist_ok=True)
            views = [_beside(run, number, page, folder, progress) for number, run in enumerate(runs)]
        write_atomically(page, render(_view(views, pairs)))
    except OSError as error:
        raise UserError(f"--out {page}: cannot be written ({error.strerror})") from error
    return Written(page, folder)


def _view(runs: Sequence[RunView], pairs: Sequence[Pair]) -> View:
    return View(
        eidolon=package_version(),
        early=EARLY[1],
        late=LATE[0],
        page_size=PAGE_SIZE,
        runs=tuple(runs),
        pairs=tuple(pairs),
    )


def _inside(run: CollectedRun, progress: Callable[[int], None]) -> RunView:
    details = []
    for detail in run.details(data_uri):
        details.append(detail)
        progress(1)
    return run.view.model_copy(update={"details": tuple(details)})


def _beside(
    run: CollectedRun, number: int, page: Path, folder: Path, progress: Callable[[int], None]
) -> RunView:
    """Write the details of a run to files beside the page. They are scripts, as a page on disk may read no others."""
    pictures = 0

    def place(content: bytes) -> str:
        nonlocal pictures
        file = folder / f"pictures-{number}" / str(pictures // PICTURES_IN_FOLDER) / f"{pictures}.webp"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        pictures += 1
        return file.relative_to(page.parent).as_posix()

    names = []
    for index, batch in enumerate(batches(run.details(place), PAGE_SIZE)):
        file = folder / f"run-{number}-page-{index}.js"
        # A string that the page parses as JSON: an object written out in a script would treat some names specially.
        records = escaped(escaped([detail.model_dump(mode="json") for detail in batch]))
        file.write_text(f"eidolonPage({number},{index},{records})\n", encoding="utf-8")
        names.append(file.relative_to(page.parent).as_posix())
        progress(len(batch))
    return run.view.model_copy(update={"pages": tuple(names)})


def render(view: View) -> str:
    """Return the HTML of a page."""
    script, style = (asset(name) for name in ("app.js", "app.css"))
    names = ", ".join(run.name for run in view.runs)
    return TEMPLATE.format(
        policy=html.escape(content_security_policy(script, style, pages=any(run.pages for run in view.runs))),
        title=html.escape(f"{names} - Eidolon"),
        style=style,
        script=script,
        data=escaped(view.model_dump(mode="json", by_alias=True)),
    )


def content_security_policy(script: str, style: str, *, pages: bool) -> str:
    """Return the policy: only this script and this style sheet, and pictures from the page itself.

    A page with data beside it also lets its own script load the files of data and pictures there.
    """
    scripts = f"'sha256-{_hash(script)}'" + (" 'strict-dynamic'" if pages else "")
    images = "data: 'self' file:" if pages else "data:"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'sha256-{_hash(style)}'; img-src {images}; "
        "base-uri 'none'; form-action 'none'"
    )


def asset(name: str) -> str:
    """Return a file of the front end as it ships."""
    return (ASSETS / name).read_text(encoding="utf-8")


def escaped(value: object) -> str:
    """Return JSON for a script element: `<`, `>`, `&` and the line separators of Unicode are escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode()


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
