"""Prediction-powered intervals of CHAIR_i cover the true rate where the annotator errs, and are the narrower ones."""

import importlib.util
import random
import sys
from pathlib import Path

from eidolon.benchmark.annotate.annotator import Looked, rounded
from eidolon.benchmark.annotate.decision import Rule
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.metrics.chair import Chair

BENCH = Path(__file__).parents[3] / "bench" / "annotate_resampling.py"
spec = importlib.util.spec_from_file_location("annotate_resampling", BENCH)
assert spec is not None
assert spec.loader is not None
resampling = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = resampling  # the data classes look their module up
spec.loader.exec_module(resampling)

NAMES = ("bowl", "cup", "dog", "chair", "lamp", "vase")


def images(count: int) -> list[resampling.DescribedImage]:
    """Return images with two or three of six objects, an annotator that errs, and descriptions."""
    draw, found = random.Random(5), []
    for k in range(count):
        truth = tuple(name for name in NAMES if draw.random() < 0.4)
        scores = {name: rounded(draw.gauss(1.2 if name in truth else -1.2, 1.0)) for name in NAMES}
        named = [name for name in NAMES if draw.random() < (0.8 if name in truth else 0.15)]
        mentions = tuple(Mention(category=name, text=name, start=0, end=1, word=0) for name in named)
        response = Response(sample_id=str(k), image_id=str(k), response=" ".join(named))
        judgement = Judgement(sample_id=str(k), image_id=str(k), mentions=mentions)
        found.append(resampling.DescribedImage(Looked(scores), truth, response, judgement))
    return found


def test_intervals_cover_the_true_rate_and_the_naive_ones_do_not() -> None:
    made, metric = images(300), Chair()
    value = resampling.true_value(made, metric, "chair_i")
    rule = Rule(0.8, None, (0.3, 0.7), 0)
    drawn = resampling.draw_again(made, NAMES, metric, "chair_i", rule, labelled=50, times=200, resamples=100)
    powered, alone = [one.powered for one in drawn], [one.alone for one in drawn]
    assert 0.92 <= resampling.covered(powered, value) <= 0.985
    assert resampling.mean_width(powered) < 0.9 * resampling.mean_width(alone)
    assert all((one.method or "").startswith("prediction-powered") for one in powered)
