"""Rules for markup: grounding tags with their boxes, HTML, LaTeX and Markdown."""

import re
from collections.abc import Callable

from eidolon.scorers.text.draft import Draft, Replacement, gap

GROUNDING = "grounding"
HTML = "html"
MARKDOWN = "markdown"

_MOST_NUMBERS = 200
"""Numbers in one pair of brackets. Without a limit, brackets that are never closed take quadratic time."""
_NUMBER = r"-?\d+(?:\.\d+)?%?"
_BOXES = re.compile(
    # What stands between tags of a place is numbers, or tokens of places.
    r"<(?P<tag>box|quad|bbox|coor|point|points|loc|seg|patch|object|polygon|det)>[^<>]*"
    r"(?:<(?:patch_index_\d+|delim|delimiter_of_multi_objects/?|loc_?\d+|\d+)>[^<>]*)*</(?P=tag)>"
    r"|<\|(?P<token>box|quad|det|point)(?:_start)?\|>[^<>]*<\|/?(?P=token)(?:_end)?\|>"
    # Tokens of places: PaliGemma and Florence-2, Kosmos-2, MiniGPT-v2.
    r"|(?:<(?:loc_?\d+|patch_index_\d+|bin_\d+|seg\d+|delim|delimiter_of_multi_objects/?)>)+"
    r"|\{(?:<\d+>\s*)+(?:<delim>\s*(?:<\d+>\s*)+)*\}"
    # Lists of numbers in brackets: Shikra, Ferret, CogVLM.
    rf"|\[{{1,4}}\s*{_NUMBER}(?:\s*[,;]\s*\[{{0,4}}\(?\s*{_NUMBER}\)?\]{{0,4}}){{1,{_MOST_NUMBERS}}}\s*\]{{1,4}}"
    rf"|\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)\s*,\s*\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)"
    r"|\[SEG\]|\[DET\]|<SEG>|<DET>|<obj_vis_s>|<obj_vis_e>|<ground_box>|<grounding>"
)
_EMPTY_PLACES = re.compile(r"<(?:point|points|box)\b[^<>]*/>|</?(?:point|points)\b[^<>]*>")
_GROUNDING_TAGS = re.compile(
    r"</?(?:ref|phrase|object|grounding|p|obj|ph|rel|roi|region|entity|quad|box)>"
    r"|<\|/?(?:object_ref|box|quad|ref|det|grounding|vision|point)[^|<>\n]{0,30}\|>"
)
_LINE_TAGS = re.compile(
    r"</?(?:br|n|nl|newline|li|ul|ol|div|tr|table|thead|tbody|h[1-6]|hr|section|article|blockquote|pre|dl|dt|dd)(?:\s[^<>\n]*)?/?>",
    re.IGNORECASE,
)
_CELL_END = re.compile(r"</t[dh]>\s*(?=<t[dh]\b)", re.IGNORECASE)
_TAGS = re.compile(r"</?[a-zA-Z][a-zA-Z0-9_.:-]{0,40}(?:\s[^<>\n]{0,200})?/?>|<!--.{0,500}?-->", re.DOTALL)

_BOXED = re.compile(r"\$*\\(?:boxed|fbox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}\$*")
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|emph|underline)\s*\{([^{}]*)\}")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[a-zA-Z]*[ \t]*$", re.MULTILINE)
_IMAGE = re.compile(r"!\[([^\]\n]*)\]\([^()\s]*\)")
_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\([^()\s]*\)")
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]*(?=\w)", re.MULTILINE)
_QUOTE = re.compile(r"^[ \t]*>+[ \t]?", re.MULTILINE)
_RULE = re.compile(
    r"^[ \t]*(?:\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?|[*_=]{3,})[ \t]*$", re.MULTILINE
)
_ROW = re.compile(r"^[ \t]*\|(.*)\|[ \t]*$|^(?=[^|\n]*\|)([^|\n]+(?:\|[^|\n]*)+)$", re.MULTILINE)
_BAR = re.compile(r"\|")
_CHECKBOX = re.compile(r"^([ \t]*[-*+][ \t]*)\[[ xX]\][ \t]*", re.MULTILINE)
_EMPHASIS = re.compile(
    r"\*{1,3}(?=[^\s*])([^*\n]*?[^\s*])\*{1,3}|~~(?=\S)([^~\n]*?\S)~~|`{1,3}([^`\n]+)`{1,3}"
)
_UNDERSCORES = re.compile(r"(?<![^\W_])_{1,3}(?=[^\W_])|(?<=[^\W_])_{1,3}(?![^\W_])")
_STRAY_STARS = re.compile(r"\*{2,}")
_SNAKE = re.compile(r"(?<=[a-zA-Z])_(?=[a-zA-Z])")
_GLUED_MARKER = re.compile(
    r"^([ \t]*(?:[-*+>\u2013\u2014\u2043\u2192\u27a2]|\(?\d{1,3}[.):]|\(?[a-zA-Z][.)]))(?=[^\W\d_][^\W_])",
    re.MULTILINE,
)
_GLUED_NUMBER = re.compile(r"(?<=[\s,;])(\d{1,2}[.)])(?=[a-zA-Z]{2})")
_GLUED_MARKS = re.compile(r"(?<=[^\W\d_])([;|\\+=~\u2026\u2192]|\.{2,}|:(?!//))(?=[^\W\d_])")
# These two begin with a set of characters, which is found faster.
_NUMBER_HINT = re.compile(r"[0-9\u0660-\U0010ffff][.)][a-zA-Z]")
_MARKS_HINT = re.compile("[;|\\\\+=~\u2026\u2192.:][^\\W\\d_]")
_GLUED_BRACKETS = re.compile(r"(?<=[^\W_])([(\[{])(?=[^\W_]{2})|(?<=[^\W_]{2}[)\]}])(?=[^\W_]{2})")

_BRACKET = re.compile(r"[<\[{(]")
_MARK = re.compile("[\\\\`~\\[\\]=*_>#|0-9;+:\u2026\u2192(){}]")
"""A character of every mark of `_MARKDOWN_STEPS` but `--` and `..`."""


def plain_markup(draft: Draft) -> None:
    """Leave out tags, places and marks of formatting, and separate what they glued together."""
    text = draft.text
    if _BRACKET.search(text) is not None:
        for pattern in (_BOXES, _EMPTY_PLACES, _GROUNDING_TAGS):
            draft.sub(pattern, lambda match: gap(draft.text, match), GROUNDING)
        draft.sub(_CELL_END, ": ", HTML)
        draft.sub(_LINE_TAGS, "\n", HTML)
        draft.sub(_TAGS, lambda match: gap(draft.text, match), HTML)
    _plain_markdown(draft)


def _plain_markdown(draft: Draft) -> None:
    text = draft.text
    present = frozenset(_MARK.findall(text))
    if present or "--" in text or ".." in text:
        for single, longer, step in _MARKDOWN_STEPS:
            if draft.text is not text:
                text = draft.text
                present = frozenset(_MARK.findall(text))
            if not present.isdisjoint(single) or any(mark in text for mark in longer):
                step(draft)
    draft.sub(_GLUED_MARKER, lambda match: f"{match[1]} ", MARKDOWN)


def _unwrap(draft: Draft, pattern: re.Pattern[str]) -> None:
    """Leave out the marks of every match around the group that holds its content."""
    changes = []
    for match in pattern.finditer(draft.text):
        if match.lastindex is not None:
            start, end = match.span(match.lastindex)
            changes += [(match.start(), start, ""), (end, match.end(), "")]
    draft.replace(changes, MARKDOWN)


def _separate_cells(draft: Draft) -> None:
    """Turn table rows into `first cell: second cell`."""
    changes = []
    for row in _ROW.finditer(draft.text):
        first = row.start() + len(row[0]) - len(row[0].lstrip())
        last = row.start() + len(row[0].rstrip()) - 1
        for bar in _BAR.finditer(draft.text, row.start(), row.end()):
            changes.append((bar.start(), bar.end(), "" if bar.start() in (first, last) else ": "))
    draft.replace(changes, MARKDOWN)


def _separate_brackets(draft: Draft) -> None:
    draft.sub(_GLUED_BRACKETS, lambda match: f" {match[0]}" if match[0] else " ", MARKDOWN)


def _rule(
    pattern: re.Pattern[str], replacement: Replacement, hint: re.Pattern[str] | None = None
) -> "Callable[[Draft], None]":
    """Return a step that replaces the matches of a pattern. Every text with a match has one of `hint` too."""

    def step(draft: Draft) -> None:
        if hint is None or hint.search(draft.text) is not None:
            draft.sub(pattern, replacement, MARKDOWN)

    return step


def _unwrapped(*patterns: re.Pattern[str]) -> "Callable[[Draft], None]":
    def unwrap(draft: Draft) -> None:
        for pattern in patterns:
            _unwrap(draft, pattern)

    return unwrap


_MARKDOWN_STEPS: tuple[tuple[frozenset[str], tuple[str, ...], Callable[[Draft], None]], ...] = tuple(
    (
        frozenset(mark for mark in marks if len(mark) == 1),
        tuple(mark for mark in marks if len(mark) > 1),
        step,
    )
    for marks, step in (
        (("\\",), _unwrapped(_BOXED, _LATEX_TEXT)),
        (("```", "~~~"), _rule(_FENCE, "")),
        (("](",), _unwrapped(_IMAGE, _LINK)),
        (("--", "***", "___", "==="), _rule(_RULE, "")),
        (("[",), _rule(_CHECKBOX, lambda match: match[1])),
        ((">",), _rule(_QUOTE, "")),
        (("#",), _rule(_HEADING, "")),
        (("|",), _separate_cells),
        # Twice, for emphasis within emphasis.
        (("*", "~~", "`"), _unwrapped(_EMPHASIS, _EMPHASIS)),
        (("**",), _rule(_STRAY_STARS, " ")),
        (("_",), _rule(_UNDERSCORES, "")),
        (("_",), _rule(_SNAKE, " ")),
        (tuple("0123456789"), _rule(_GLUED_NUMBER, lambda match: f"{match[1]} ", _NUMBER_HINT)),
        ((*";|\\+=~:\u2026\u2192", ".."), _rule(_GLUED_MARKS, lambda match: f" {match[1]} ", _MARKS_HINT)),
        (tuple("()[]{}"), _separate_brackets),
    )
)
"""The steps in order, each with marks, of one character and longer; a text must hold one of them."""
