"""Writes a trace as a self-contained page (`trace.html`), a plot (`trace.png`) and data (`trace.json`)."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.style import BLUE, HALLUCINATED, INK, SKY, Sheet, png, short
from eidolon.benchmark.report.trace.records import Trace
from eidolon.benchmark.report.trace.terminal import VERDICTS
from eidolon.benchmark.report.trace.wording import form, moment, quoted, shown, wrong
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.terminal.safe_text import one_line, safe_text
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.forgetting.token_kinds import KIND_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image

TEMPLATE = Path(__file__).with_name("trace.html.jinja")
THUMBNAIL = 480
"""Longest side of the image on the page, in pixels."""
ROW = 26
"""Tokens in a row of the plot."""
ROWS = 12
"""Most rows of the plot. The page lists all tokens."""
TRACE = Sheet(9.0, 7.5, dpi=130)
"""Wider than a page, because each token has a column."""
KIND_COLOURS = {"object": BLUE, "content": SKY, "function": "#c3c8cf", "rest": "#dfe3e6"}
VERDICT_COLOURS = {"grounded": "#00694d", "hallucinated": "#a84a00"}
"""Those of the other plots, darker because they are colours of text."""
TITLE_WORDS = 3
"""Words of the wrong mentions in the title."""


def write(trace: Trace, image: "Image.Image", folder: Path) -> list[Path]:
    """Write the three files and return their paths. Raises UserError if the folder cannot be written."""
    plot = draw_trace(trace)
    contents: dict[str, str | bytes] = {
        "trace.json": trace.to_json(),
        "trace.png": plot,
        "trace.html": render_page(trace, image, plot),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written ({error.strerror})") from error
    return [folder / name for name in contents]


def render_page(trace: Trace, image: "Image.Image", plot: bytes) -> str:
    """Return the HTML page. Text from models and files is escaped."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        model=one_line(trace.model),
        image=one_line(trace.image),
        prompt=one_line(trace.prompt),
        origin=f"generated, {trace.decoding}" if trace.generated else "given",
        without=form(trace),
        judge=trace.judge,
        objects=None if trace.objects is None else ", ".join(map(one_line, trace.objects)) or "none",
        unjudged=None if trace.unjudged is None else one_line(trace.unjudged),
        thumbnail=_encode(image),
        plot=base64.b64encode(plot).decode(),
        tokens=[_token(trace, index) for index in range(len(trace.tokens))],
        mentions=[_mention(trace, index) for index in range(len(trace.mentions))],
        moments=[moment(mention) for mention in wrong(trace)],
    )


def _token(trace: Trace, index: int) -> dict[str, Any]:
    token = trace.tokens[index]
    verdict = None if token.mention is None else trace.mentions[token.mention].verdict
    return {
        "number": index + 1,
        "text": safe_text(token.text),
        "shown": shown(token.text),
        "kind": KIND_NAMES[token.kind],
        "verdict": verdict or "",
        "named": token.mention is not None,
        "pdm": f"{token.pdm:.2f}",
        "shade": f"{min(max(token.pdm, 0.0), 1.0):.3f}",
        "seen": f"{token.seen:.3f}",
        "blind": f"{token.blind:.3f}",
        "likely_seen": ", ".join(map(quoted, token.likely_seen)),
        "likely_blind": ", ".join(map(quoted, token.likely_blind)),
        "leaning": ", ".join(map(quoted, token.leaning[:3])),
    }


def _mention(trace: Trace, index: int) -> dict[str, str | int]:
    mention = trace.mentions[index]
    return {
        "number": mention.token + 1,
        "text": shown(mention.text),
        "category": one_line(mention.category),
        "verdict": mention.verdict or "",
        "shown_verdict": VERDICTS[mention.verdict].lower(),
        "seen": f"{mention.seen:.2f}",
        "blind": f"{mention.blind:.2f}",
        "pdm": f"{mention.pdm:.2f}",
        "instead": quoted(mention.runner_up) if mention.runner_up else "-",
        "likely_blind": quoted(mention.if_blind),
        "leaning": quoted(mention.by_picture),
    }


def draw_trace(trace: Trace) -> bytes:
    """Return the plot as a PNG: of each token its PDM, kind, and probability with and without the image."""
    return png(lambda: trace_figure(trace), TRACE)


def trace_figure(trace: Trace) -> "Figure":
    """Return the plot."""
    shown_tokens = min(len(trace.tokens), ROW * ROWS)
    rows = max(1, -(-shown_tokens // ROW))
    figure = new_figure(TRACE, 0.2 + 1.8 * rows)
    panels = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for row, axes in enumerate(panels):
        _draw_row(axes, trace, row * ROW, min((row + 1) * ROW, shown_tokens))
    beyond = (
        f" First {shown_tokens} of {len(trace.tokens)} tokens." if shown_tokens < len(trace.tokens) else ""
    )
    return finish(
        figure,
        TRACE,
        _finding(trace),
        notes=[
            f"{short(trace.image)}; without the image: {form(trace)}. PDM is the Hellinger distance between the two "
            f"predictions of a token.{beyond}"
        ],
        handles=_legend(trace),
    )


def _finding(trace: Trace) -> str:
    """Return what the trace shows, in words."""
    name = short(trace.model)
    if trace.objects is None:
        return f"{name}: how each token depends on the image"
    found = wrong(trace)
    if not found:
        return f"{name}: no object is named that is not in the image"
    words = [short(mention.text, 24) for mention in found]
    more = f" and {len(words) - TITLE_WORDS} more" if len(words) > TITLE_WORDS else ""
    return f"{name}: named, but not in the image: {', '.join(words[:TITLE_WORDS])}{more}"


def _draw_row(axes: "Axes", trace: Trace, start: int, end: int) -> None:
    tokens = trace.tokens[start:end]
    at = range(start, end)
    axes.bar(at, [t.pdm for t in tokens], width=0.9, color=[KIND_COLOURS[t.kind] for t in tokens])
    axes.plot(at, [t.seen for t in tokens], "o", ms=3, color=INK, zorder=3)
    axes.plot(at, [t.blind for t in tokens], "o", ms=3.4, mfc="white", mec=INK, mew=0.7, zorder=2)
    for index, token in zip(at, tokens, strict=True):
        verdict = None if token.mention is None else trace.mentions[token.mention].verdict
        colour = VERDICT_COLOURS.get(verdict or "", INK)
        label = shown(token.text.strip(" "))
        axes.text(
            index, -0.06, label if len(label) < 14 else label[:12] + "…", rotation=38, ha="right", va="top",
            rotation_mode="anchor", fontsize=TRACE.small, color=colour,
            fontweight="bold" if verdict == "hallucinated" else "normal",
        )  # fmt: skip
        if verdict == "hallucinated":
            axes.axvspan(index - 0.5, index + 0.5, color=HALLUCINATED, alpha=0.15, lw=0)
    axes.set(xlim=(start - 0.7, start + ROW - 0.3), ylim=(0, 1.04))
    axes.set_yticks([0, 0.5, 1])
    axes.set_xticks([])
    axes.grid(axis="y")


def _legend(trace: Trace) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found = {token.kind for token in trace.tokens}
    handles: list[Any] = [
        Patch(color=KIND_COLOURS[kind], label=f"PDM, {name}")
        for kind, name in KIND_NAMES.items()
        if kind in found
    ]
    handles += [
        Line2D([], [], ls="", marker="o", ms=4, color=INK, label="probability with the image"),
        Line2D([], [], ls="", marker="o", ms=4, mfc="white", mec=INK, label="probability without the image"),
    ]
    if wrong(trace):
        handles.append(Patch(color=HALLUCINATED, alpha=0.25, label="not in the image"))
    return handles


def _encode(image: "Image.Image") -> str:
    small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    png = io.BytesIO()
    small.save(png, format="PNG")
    return base64.b64encode(png.getvalue()).decode()
