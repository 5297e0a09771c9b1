"""The plots of the committed study: no text overlaps another, and titles say what was found."""

from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.drawing.style import style
from eidolon.benchmark.study.memory import plots
from eidolon.benchmark.study.memory.records import MemoryStudy
from eidolon.benchmark.study.recall.detail import MqarDetail
from eidolon.benchmark.study.recall.plot import SHEET, mqar_figure
from tests.benchmark.drawing_boxes import faults, text_boxes

RESULTS = Path(__file__).parents[4] / "results" / "memory"


@pytest.mark.parametrize("name", plots.PLOTS)
def test_texts_do_not_overlap(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = MemoryStudy.model_validate_json((RESULTS / "memory.json").read_text())
    found: list[Any] = []

    def capture(draw: Any, sheet: Any) -> bytes:
        with style(sheet):
            found.append((faults(draw()), {text for text, _ in text_boxes(draw())}))
        return b""

    monkeypatch.setattr(plots, "png", capture)
    plots.PLOTS[name](study)
    ((wrong, texts),) = found
    assert wrong == []
    if name == "retention.png":
        assert any(text.startswith("After 512 tokens of filler, gdn (1.00") for text in texts)


def test_the_plot_of_recall() -> None:
    detail = MqarDetail.model_validate_json((RESULTS / "mqar.json").read_text())
    with style(SHEET):
        assert faults(mqar_figure(detail)) == []
