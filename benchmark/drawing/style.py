"""The style of all plots: widths of a paper, colours, and files that are the same bytes for the same data.

The colours are those of Okabe and Ito (2008, "Color universal design"), which people with any common kind of colour
blindness can distinguish. Markers, dashes and hatches differ too, so that a plot also works in grey.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from eidolon.benchmark.terminal.safe_text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format: TypeAlias = Literal["pdf", "svg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)

INK, DIM, FAINT = "#222222", "#5b6370", "#d5d9e0"
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"
GREY = "#8a8f98"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK, GREY)
MARKERS = "osD^vP*X"
DASHES = ("-", "--", "-.", ":")
GROUNDED, HALLUCINATED, MISSED = GREEN, VERMILION, GREY
"""Colours of the three outcomes in every plot, as on the page of `eidolon view`."""

LONGEST_NAME = 48
"""Characters of a run's name in a plot. A longer one is cut in the middle."""

SAFETY = 1.04
"""Factor on the widths of texts. Hinting makes some lines of a PNG wider than those of a PDF."""

RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": DIM,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
    "font.family": ["DejaVu Sans"],
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "eidolon",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": DIM,
    "xtick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.color": DIM,
    "ytick.labelcolor": INK,
    "ytick.major.width": 0.6,
}
"""Text stays text in SVG and PDF. Dollar signs and underscores are characters, not formulas."""

METADATA: dict[Format, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The width of a figure and the size of its text."""

    inches: float
    points: float
    """Size of ordinary text."""
    dpi: int = 300
    """Pixels per inch of a PNG."""

    @property
    def small(self) -> float:
        """Size of notes and of the texts beside marks."""
        return self.points - 0.5

    @property
    def large(self) -> float:
        """Size of the title."""
        return self.points + 1.5


COLUMN = Sheet(3.35, 6.5)
"""A column of a paper of two columns, 85 mm."""
PAGE = Sheet(7.0, 7.5)
"""The text width of a page, 178 mm."""
SCREEN = Sheet(7.0, 7.5, dpi=160)
"""The plots of a run folder and its report."""
SHEETS = {"column": COLUMN, "page": PAGE}


@contextmanager
def style(sheet: Sheet) -> Iterator[None]:
    """Draw in the style, whatever the user's matplotlib settings are. Characters that the font lacks are boxes."""
    import matplotlib.style

    size = {"font.size": sheet.points, "figure.dpi": 150}
    for name in ("axes.labelsize", "legend.fontsize", "xtick.labelsize", "ytick.labelsize"):
        size[name] = sheet.points
    size["axes.titlesize"] = sheet.points + 0.5
    with matplotlib.style.context([RC, size], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def render(
    draw: Callable[[], "Figure"], sheet: Sheet, formats: tuple[Format, ...] = FORMATS
) -> dict[Format, bytes]:
    """Return a figure in some formats. The same figure gives the same bytes: the files hold no times."""
    with style(sheet):
        figure = draw()
        return {one: _save(figure, one, sheet) for one in formats}


def png(draw: Callable[[], "Figure"], sheet: Sheet = SCREEN) -> bytes:
    """Return a figure as a PNG."""
    return render(draw, sheet, ("png",))["png"]


def _save(figure: "Figure", form: Format, sheet: Sheet) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=form, dpi=sheet.dpi, metadata=METADATA[form])
    return stream.getvalue()


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name on one line, cut in the middle if it is long."""
    name = one_line(name)
    if len(name) <= longest:
        return name
    end = longest // 2
    return f"{name[: longest - end - 1]}…{name[-end:]}"


def percent(share: float) -> str:
    """Return a share in percent; close to 0 and 1 with one decimal, so that little is not nothing."""
    near = 0 < min(share, 1 - share) < 0.01
    return f"{100 * share:.{int(near)}f}\N{NO-BREAK SPACE}%"


def width_of(text: str, points: float) -> float:
    """Return the width of a line of text in inches."""
    return SAFETY * sum(_advance(character) for character in text) * points / 72


def wrap(text: str, inches: float, points: float) -> str:
    """Return the text in lines of a width. A word that is wider than a line is cut."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        grown = f"{line} {word}" if line else word
        if width_of(grown, points) <= inches:
            line = grown
            continue
        if line:
            lines.append(line)
        line = word
        while width_of(line, points) > inches and len(line) > 1:
            cut = next(
                n for n in range(len(line) - 1, 0, -1) if n == 1 or width_of(line[:n], points) <= inches
            )
            lines.append(line[:cut])
            line = line[cut:]
    return "\n".join([*lines, line] if line else lines)


@lru_cache(maxsize=4096)
def _advance(character: str) -> float:
    """Return the width of a character of size 1."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    with warnings.catch_warnings(action="ignore"):
        properties = FontProperties(family=RC["font.family"], size=10)
        # Between two others, because the extent of a space or of a narrow letter alone is not its advance.
        around, alone = (
            text_to_path.get_text_width_height_descent(text, properties, False)[0]
            for text in (f"n{character}n", "nn")
        )
    return max(float(around - alone), 0.0) / 10
