"""How Sphinx builds this site: `make docs`. Nothing here needs the network."""

import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from pygments.lexers.data import JsonLexer

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Eidolon"
author = "the Eidolon authors"
release = version = metadata("eidolon-bench")["Version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "api_pages",
    "cli_pages",
    "own_references",
    "plain_docstrings",
    "schema_pages",
]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
exclude_patterns = ["_ext", "_static"]

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False

# The theme copies the whole table of contents for each page. Entries for every function would be most of the build.
toc_object_entries = False

suppress_warnings = ["ref.python"]  # names such as `pairs` that several classes have

html_theme = "furo"
html_title = f"Eidolon {release}"
html_static_path = ["_static"]
html_copy_source = False
html_show_copyright = False


def setup(app: Any) -> None:
    """Colour lines of JSON as JSON."""
    app.add_lexer("jsonl", JsonLexer)
