"""Look up only names of Eidolon among Eidolon's names.

The site links to no other documentation. Sphinx would compare each `str` and `Path` of a signature with every name of
the site, which takes half of the build.
"""

import builtins
from typing import Any

from sphinx import addnodes

PACKAGE = "eidolon"


def is_foreign(target: str) -> bool:
    """Return whether a Python name is a builtin or in another package. A bare name may be one of ours."""
    first, dot, _ = target.partition(".")
    return first != PACKAGE if dot else hasattr(builtins, target)


def _show_as_text(app: Any, doctree: Any) -> None:
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("refdomain") == "py" and is_foreign(node["reftarget"]):
            node.replace_self(node.children)


def setup(app: Any) -> dict[str, bool]:
    """Replace references when a page was read, before Sphinx resolves them."""
    app.connect("doctree-read", _show_as_text)
    return {"parallel_read_safe": True}
