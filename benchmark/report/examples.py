"""A few responses of a run, with their hallucinations marked."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from eidolon.benchmark.store.files import QUESTIONS
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.terminal.safe_text import one_line, safe_text
from eidolon.scorers.core.types import Judgement, Response

COUNT = 3
LENGTH = 700
"""Characters of a response that are shown."""


def show_examples(run: Path, name: str, console: Console, count: int = COUNT) -> None:
    """Print the run's first responses that hallucinate, then others up to `count`."""
    loaded = load_run(run)
    pairs = [pair for pair in loaded.judged() if pair[1].unscored is None]
    pairs.sort(key=lambda pair: not _hallucinates(pair[1]))
    if not pairs:
        return
    console.print(Text(f"\nExamples of {one_line(name)}, hallucinated words marked:", style="bold"))
    asked = loaded.has(QUESTIONS)
    for response, judgement in pairs[:count]:
        question = f", {one_line(response.prompt or '')}" if asked else ""
        heading = (f"\nsample {one_line(response.sample_id)}{question}: ", "dim")
        text = marked(response, judgement, plain=not console.is_terminal)
        console.print(Text.assemble(heading, text), soft_wrap=not console.is_terminal)


def marked(response: Response, judgement: Judgement, *, plain: bool) -> Text:
    """Return the response with hallucinated mentions red and underlined, or as `[!fridge!]` in plain text.

    Mentions without a place in the text are listed below it. The model's text is shown as plain text: escape
    sequences and markup in it have no effect.
    """
    source = (response.response or "")[:LENGTH]
    text = Text()
    position = 0
    for mention in sorted(judgement.mentions, key=lambda mention: mention.start):
        if mention.verdict != "hallucinated" or not position <= mention.start < mention.end <= len(source):
            continue
        if mention.start == mention.end:
            continue
        text.append(safe_text(source[position : mention.start]))
        words = safe_text(source[mention.start : mention.end])
        text.append(f"[!{words}!]" if plain else words, style=None if plain else "bold red underline")
        position = mention.end
    text.append(safe_text(source[position:]))
    if len(response.response or "") > LENGTH:
        text.append(" …")
    if unplaced := [m.category for m in judgement.mentions if m.verdict == "hallucinated" and not m.end]:
        text.append(f"\nhallucinated: {one_line(', '.join(unplaced))}", style=None if plain else "bold red")
    return text


def _hallucinates(judgement: Judgement) -> bool:
    return any(mention.verdict == "hallucinated" for mention in judgement.mentions)
