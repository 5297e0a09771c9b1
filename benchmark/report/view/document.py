"""The HTML document of a page: its data as JSON, and the front end that shows it.

The page runs from disk and loads nothing from elsewhere. Its Content-Security-Policy names the hash of the one script
and of the one style sheet, so that nothing else can run, whatever the data holds. The data is JSON in a script block
of a type that is never executed.
"""

import base64
import hashlib
import html
import json
from pathlib import Path

from eidolon.scorers.core.types import Record

ASSETS = Path(__file__).parent / "assets"
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


def render(document: Record, title: str, *, program: str = "app", pages: bool = False) -> str:
    """Return the HTML of a page.

    Args:
        document: The data. Its `kind` decides which page the front end shows.
        title: The title of the window.
        program: The name of the script and the style sheet.
        pages: Whether the page loads files of data that lie beside it.
    """
    script, style = asset(f"{program}.js"), asset(f"{program}.css")
    return TEMPLATE.format(
        policy=html.escape(content_security_policy(script, style, pages=pages)),
        title=html.escape(f"{title} - Eidolon"),
        style=style,
        script=script,
        data=escaped(document.model_dump(mode="json", by_alias=True)),
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
