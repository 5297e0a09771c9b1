"""The leaderboard as Markdown: a table for each group of comparable rows, as GitHub reads tables."""

import re
from collections.abc import Iterator

from eidolon.benchmark.report.board.groups import Group, bounds_text, groups_of, heading, number_text
from eidolon.benchmark.report.leaderboard import NOT_EXAMINED, Leaderboard, verdict_of
from eidolon.benchmark.terminal.safe_text import one_line

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&:@$^!]")
_WWW = re.compile(r"\bwww\.", re.IGNORECASE)


def markdown_text(leaderboard: Leaderboard) -> str:
    """Return the file's text."""
    return "\n".join(line for group in groups_of(leaderboard) for line in _group(group))


def escaped(text: str) -> str:
    """Return the text on one line, with every character escaped that Markdown would read as markup or a link."""
    return _WWW.sub(lambda found: f"{found[0][:-1]}\\.", _MARKUP.sub(r"\\\g<0>", one_line(text)))


def _group(group: Group) -> Iterator[str]:
    yield f"### {escaped(group.title)}"
    yield ""
    examined = any(row.doctor != NOT_EXAMINED for row in group.rows)
    arrows = {True: " ↑", False: " ↓", None: ""}
    titles = [escaped(label) + arrows[better] for label, better in map(heading, group.columns)]
    yield _line(["model", "n", *titles, *(["doctor"] if examined else [])])
    yield _line([":---", *("---:" for _ in range(1 + len(titles))), *([":---"] if examined else [])])
    for row in group.rows:
        cells = []
        for column in group.columns:
            bounds = bounds_text(row, column)
            cells.append(
                (number_text(row, column) or "-") + (f" ({bounds[0]} to {bounds[1]})" if bounds else "")
            )
        yield _line(
            [
                escaped(row.name) + (" (!)" if row.warnings else ""),
                str(row.n.scored),
                *cells,
                *([escaped(verdict_of(row))] if examined else []),
            ]
        )
    yield ""
    yield "; ".join(f"{name} {escaped(text)}" for name, text in group.shared().items()) + ". 95 % intervals."
    yield ""
    for row in group.rows:
        for warning in row.warnings:
            yield f"- (!) {escaped(row.name)}: {escaped(warning)}"
    if any(row.warnings for row in group.rows):
        yield ""


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
