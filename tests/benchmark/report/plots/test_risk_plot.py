"""The figure `risk`: its points are the bins, and their intervals are exact."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.drawing.style import SHEETS, style
from eidolon.benchmark.report.plots.records import PlottedRun
from eidolon.benchmark.report.plots.risk import risk, risk_bins
from eidolon.benchmark.report.plots.write import _suited
from eidolon.benchmark.run.risk import read_described, risk_lines
from eidolon.benchmark.store.loaded import load_run
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.risk.model_file import load_risk_model
from eidolon.scorers.risk.quality import ReliabilityBin
from tests.benchmark.conftest import write_lines
from tests.benchmark.drawing_boxes import faults

NAMED = ("dog", "couch", "cup", "bus", "backpack", "pizza", "fork")


def scored(folder: Path, images: int) -> PlottedRun:
    rows = []
    for image in range(images):
        said = [NAMED[(image + step) % len(NAMED)] for step in range(3 + image % 3)]
        rows.append({"image_id": image, "response": " ".join(f"Here we see a {name}." for name in said)})
    truth = [
        {"image_id": image, "objects": [NAMED[(image + step) % len(NAMED)] for step in (0, 2)]}
        for image in range(images)
    ]
    responses = write_lines(folder / "responses.jsonl", rows)
    objects = write_lines(folder / "objects.jsonl", truth)
    code = invoke(
        ["score", "--responses", str(responses), "--objects", str(objects), "--metric", "risk",
         "--resamples", "50", "--out", str(folder / "run")]
    )  # fmt: skip
    assert code == 0
    run = load_run(folder / "run")
    return PlottedRun(run, "mine", "run")


@pytest.fixture(scope="module")
def plotted(tmp_path_factory: pytest.TempPathFactory) -> PlottedRun:
    return scored(tmp_path_factory.mktemp("risk"), 30)


def by_hand(plotted: PlottedRun, count: int) -> list[tuple[float, float, int]]:
    """Mean risk, share that is wrong and mentions of each bin, from what `eidolon risk` writes."""
    model = load_risk_model()
    judged = read_described(plotted.run.path, model)
    pairs = []
    for (_, judgement), found in zip(judged, risk_lines(model, judged, None), strict=True):
        first: dict[str, tuple[float, bool]] = {}
        for mention, risky in zip(judgement.mentions, found.mentions, strict=True):
            first.setdefault(mention.category, (risky.risk, mention.verdict == "hallucinated"))
        pairs += first.values()
    pairs.sort(key=lambda pair: pair[0])
    parts = np.array_split(np.array(pairs, dtype=float), count)
    return [(part[:, 0].mean(), part[:, 1].mean(), len(part)) for part in parts]


def test_points_are_the_bins(plotted: PlottedRun) -> None:
    assert "risk" in _suited(plotted)
    bins = risk_bins(plotted)
    # 30 responses of 3, 4 or 5 objects: 120 mentions, at least 20 in a bin.
    assert [one.mentions for one in bins] == [20] * 6
    expected = by_hand(plotted, 6)
    assert [one.risk for one in bins] == pytest.approx([one[0] for one in expected], abs=1e-5)
    assert [one.wrong for one in bins] == pytest.approx([one[1] for one in expected])
    with style(SHEETS["page"]):
        (axes,) = risk(plotted)(SHEETS["page"]).axes
    (points,) = [one for one in axes.lines if one.get_label() == "bins, 95 % interval"]
    assert list(zip(*points.get_data(), strict=True)) == [(one.risk, one.wrong) for one in bins]
    bars = [tuple(one.get_ydata()) for one in axes.lines if str(one.get_label()).startswith("_")]
    assert bars == [one.interval for one in bins]


@pytest.mark.parametrize("width", SHEETS)
def test_texts_do_not_overlap(plotted: PlottedRun, width: str) -> None:
    with style(SHEETS[width]):
        assert faults(risk(plotted)(SHEETS[width])) == []


@pytest.mark.parametrize(("wrong", "of"), [(0, 20), (3, 20), (20, 20)])
def test_intervals_are_exact(wrong: int, of: int) -> None:
    low, high = ReliabilityBin(mentions=of, risk=0.1, wrong=wrong / of).interval
    # At each bound, what was seen or more extreme has a probability of 2.5 %.
    assert low == 0 if wrong == 0 else binom.sf(wrong - 1, of, low) == pytest.approx(0.025)
    assert high == 1 if wrong == of else binom.cdf(wrong, of, high) == pytest.approx(0.025)


def test_what_cannot_be_drawn_says_why(plotted: PlottedRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="first mentions have a verdict, and two bins take 40"):
        risk(scored(tmp_path, 4))
    scores = plotted.run.scores()
    metrics = {name: family for name, family in scores.metrics.items() if name != "risk"}
    run = load_run(plotted.run.path)
    run._contents["scores.json"] = scores.model_copy(update={"metrics": metrics})
    with pytest.raises(UserError, match="--metric risk computes them"):
        risk(PlottedRun(run, "mine", "run"))


def test_scores_of_another_risk_model(plotted: PlottedRun) -> None:
    run = load_run(plotted.run.path)
    text = (run.path / "scores.json").read_text()
    scores = run.scores()
    value = scores.metrics["risk"]["brier"].value
    changed = text.replace(str(value), "0.5")
    assert changed != text
    run._contents["scores.json"] = type(scores).model_validate_json(changed)
    with pytest.raises(UserError, match="another risk model"):
        risk(PlottedRun(run, "mine", "run"))
