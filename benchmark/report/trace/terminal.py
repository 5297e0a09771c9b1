"""Prints a trace: the text, shaded by its dependence on the image, and a table of the mentions."""

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.report.trace.records import Trace, TracedMention
from eidolon.benchmark.report.trace.wording import form, moment, quoted, shown, wrong
from eidolon.benchmark.terminal.safe_text import one_line, safe_text
from eidolon.benchmark.terminal.tables import print_table

VERDICTS = {"grounded": "there", "hallucinated": "NOT THERE", "ignored": "ignored", None: ""}
STYLES = {"grounded": "bold #05603a", "hallucinated": "bold underline #b00020"}
"""Dark colours: the shades below are light on any terminal."""
PALE, DEEP = (236, 242, 250), (120, 170, 235)
MOST_MOMENTS = 8
"""Most sentences below the table."""
CAPTION = (
    "p: probability of the whole name. The rest is about its first token. runner-up: next likeliest with the image; "
    "without image: likeliest without it; contrastive: the token that the image favours most."
)


def show(trace: Trace, console: Console) -> None:
    """Print a trace."""
    origin = f"generated ({trace.decoding})" if trace.generated else "the given text"
    heading = Text()
    heading.append(f"{one_line(trace.model)} · {one_line(trace.image)}\n", style="bold")
    heading.append(f"asked: {one_line(trace.prompt)}\n", style="dim")
    heading.append(f"{origin}; without the image: {form(trace)}", style="dim")
    if trace.objects is not None:
        heading.append(f"\nin the image: {', '.join(map(one_line, trace.objects)) or 'none'}", style="dim")
    console.print(heading)
    console.print(Panel(Group(_text(trace), Text(), _legend(trace)), box=box.ROUNDED, expand=True))
    if trace.mentions:
        print_table(_table(trace), console)
        console.print(Text(CAPTION, style="dim"))
    if trace.unjudged is not None:
        console.print(Text(f"no mentions: {one_line(trace.unjudged)}", style="yellow"))
    for mention in wrong(trace)[:MOST_MOMENTS]:
        console.print(Text(f"▸ {moment(mention)}"))
    if len(wrong(trace)) > MOST_MOMENTS:
        console.print(
            Text(f"  … and {len(wrong(trace)) - MOST_MOMENTS} more that are not in the image", style="dim")
        )


def shade(pdm: float) -> tuple[int, int, int]:
    """Return the background colour of a token with this PDM."""
    share = min(max(pdm, 0.0), 1.0)
    red, green, blue = (round(low + share * (high - low)) for low, high in zip(PALE, DEEP, strict=True))
    return red, green, blue


def _style(pdm: float, verdict: str | None) -> str:
    red, green, blue = shade(pdm)
    return f"{STYLES.get(verdict or '', 'black')} on rgb({red},{green},{blue})"


def _text(trace: Trace) -> Text:
    text = Text()
    for token in trace.tokens:
        verdict = None if token.mention is None else trace.mentions[token.mention].verdict
        word = token.text.lstrip(" ")
        text.append(" " * (len(token.text) - len(word)), style=_style(token.pdm, None))
        text.append(safe_text(word), style=_style(token.pdm, verdict))
    return text


def _legend(trace: Trace) -> Text:
    legend = Text("PDM ", style="dim")
    for step in (0.0, 0.25, 0.5, 0.75, 1.0):
        legend.append(f" {step:g} ", style=_style(step, None))
    if trace.objects is not None:
        legend.append("  ")
        legend.append(" there ", style=_style(0, "grounded"))
        legend.append(" ")
        legend.append(" not there ", style=_style(0, "hallucinated"))
    return legend


def _table(trace: Trace) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    # Both name the row, so each part of a table that is too wide has them.
    table.add_column("token", justify="right", overflow="fold")
    table.add_column("names", overflow="fold")
    if trace.objects is not None:
        table.add_column("verdict")
    for name in ("p with", "p without", "PDM"):
        table.add_column(name, justify="right")
    for name in ("runner-up", "without image", "contrastive"):
        table.add_column(name)
    for mention in trace.mentions:
        table.add_row(*_row(trace, mention), style="red" if mention.verdict == "hallucinated" else None)
    return table


def _row(trace: Trace, mention: TracedMention) -> list[Text]:
    name = shown(mention.text)
    cells = [
        str(mention.token + 1),
        name if mention.category in name else f"{name} ({one_line(mention.category)})",
    ]
    if trace.objects is not None:
        cells.append(VERDICTS[mention.verdict])
    cells += [f"{mention.seen:.2f}", f"{mention.blind:.2f}", f"{mention.pdm:.2f}"]
    for found in (mention.runner_up, mention.if_blind, mention.by_picture):
        cells.append("-" if found is None else quoted(found))
    return [Text(cell) for cell in cells]
