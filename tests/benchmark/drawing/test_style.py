"""The shared style: widths of texts, names, and colours that all eyes distinguish."""

from itertools import combinations

import numpy as np
import pytest

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.style import CYCLE, PAGE, percent, png, short, style, width_of, wrap
from tests.benchmark.drawing_boxes import faults, text_boxes

TEXT = (
    "A long title of many words, WITH CAPITALS, narrow letters (illicit) and $dollars_and_underscores$ " * 3
)

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLINDNESS = {
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}


def lab(colour: str, matrix: list[list[float]]) -> np.ndarray:
    """Return CIE L*a*b* of a colour as somebody with a kind of colour blindness sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(matrix) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.cbrt(xyz / np.array([0.95047, 1.0, 1.08883]) + 1e-9)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_differ_for_the_colour_blind(kind: str) -> None:
    seen = {colour: lab(colour, BLINDNESS[kind]) for colour in CYCLE[:6]}
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 9, (one, other)


@pytest.mark.parametrize("points", [6.0, 8.0, 11.0])
def test_wrapped_lines_fit(points: float) -> None:
    lines = wrap(TEXT, 3.0, points).split("\n")
    assert " ".join(lines) == TEXT
    assert all(width_of(line, points) <= 3.0 for line in lines)
    with style(PAGE):
        figure = new_figure(PAGE, 4)
        figure.text(0, 0.5, "\n".join(lines), fontsize=points)
        (box,) = (box for _, box in text_boxes(figure))
        assert box.width / figure.dpi <= 3.0


def test_a_word_without_spaces_is_cut() -> None:
    assert len(wrap("x" * 300, 2.0, 8.0).split("\n")) > 3


def test_names_are_short_and_on_one_line() -> None:
    assert short("a\nb\x1b") == "a b\\x1b"
    assert len(short("x" * 500)) == 48
    assert short("x" * 500).count("…") == 1


def test_little_is_not_nothing() -> None:
    texts = [percent(share).replace("\N{NO-BREAK SPACE}", " ") for share in (0, 0.004, 0.5, 0.996, 1)]
    assert texts == ["0 %", "0.4 %", "50 %", "99.6 %", "100 %"]


def test_crowded_ticks_and_logarithmic_axes() -> None:
    with style(PAGE):
        figure = new_figure(PAGE, 2)
        left, right = figure.subplots(1, 2)
        left.plot(range(80), range(80))
        left.set_xticks(range(80), [f"label {i}" for i in range(80)])
        right.plot([1, 1e5], [1, 1e6], label="_a $x$")
        right.set(xscale="log", yscale="log")
        finish(figure, PAGE, TEXT, notes=[TEXT], legend_of=[left, right])
        assert faults(figure) == []
        texts = {text for text, _ in text_boxes(figure)}
        assert "1,000" in texts
        assert not any("mathdefault" in text for text in texts)


def test_matplotlib_settings_of_the_user_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    def draw() -> bytes:
        def make() -> object:
            figure = new_figure(PAGE, 1)
            figure.subplots().plot([1, 2])
            return finish(figure, PAGE, "title")

        return png(make, PAGE)  # type: ignore[arg-type]

    before = draw()
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "black")
    monkeypatch.setitem(matplotlib.rcParams, "font.family", ["serif"])
    assert draw() == before
    assert matplotlib.rcParams["axes.facecolor"] == "black"
