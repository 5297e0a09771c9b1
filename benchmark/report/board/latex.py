"""The leaderboard as LaTeX: a table of the package `booktabs` for each group of comparable rows.

Texts are escaped for text mode. A name in a script that pdfLaTeX does not know needs XeLaTeX or LuaLaTeX.
"""

import re
from collections.abc import Iterator

from eidolon.benchmark.report.board.groups import Column, Group, bounds_text, groups_of, heading, number_text
from eidolon.benchmark.report.leaderboard import Leaderboard, Row
from eidolon.benchmark.terminal.safe_text import one_line

ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "{}$&#%_"},
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # at the beginning of a row, these would be arguments of the line break before
    "]": "{]}",
    "*": "{*}",
}
_LIGATURE = re.compile(r"(['-])(?=\1)")
"""Two of these would be a closing quotation mark, or a dash."""
_SUBSCRIPT = re.compile(r"\\_([A-Za-z0-9])(?![A-Za-z0-9])")
ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}


def latex_text(leaderboard: Leaderboard) -> str:
    """Return the file's text."""
    lines = ["% In the preamble: \\usepackage[T1]{fontenc} \\usepackage{booktabs}"]
    for group in groups_of(leaderboard):
        lines += ["", *_table(group)]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return the text on one line, with every character escaped that is a command of LaTeX."""
    shown = "".join(ESCAPES.get(character, character) for character in one_line(text))
    return _LIGATURE.sub(r"\1{}", shown)


def _table(group: Group) -> Iterator[str]:
    shared = "; ".join(f"{name} {escaped(text)}" for name, text in group.shared().items())
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{escaped(group.title)}, with 95\,\% intervals. {shared}.}}"
    yield rf"\begin{{tabular}}{{lr{'r' * len(group.columns)}}}"
    yield r"\toprule"
    yield _line(["model", "$n$", *(_heading(column) for column in group.columns)])
    yield r"\midrule"
    for row in group.rows:
        yield _line([escaped(row.name), str(row.n.scored), *(_cell(row, column) for column in group.columns)])
    yield r"\bottomrule"
    yield r"\end{tabular}"
    for row in group.rows:
        for warning in row.warnings:
            yield rf"\par\footnotesize Warning, {escaped(row.name)}: {escaped(warning)}."
    yield r"\end{table}"


def _heading(column: Column) -> str:
    label, better = heading(column)
    return _SUBSCRIPT.sub(r"$_{\1}$", escaped(label)) + ARROWS[better]


def _cell(row: Row, column: Column) -> str:
    number, bounds = number_text(row, column), bounds_text(row, column)
    if not number:
        return "--"
    shown = number.replace("-", "$-$")
    if bounds is None:
        return shown
    low, high = (bound.replace("-", "$-$") for bound in bounds)
    return rf"{shown} {{\scriptsize ({low} to {high})}}"


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
