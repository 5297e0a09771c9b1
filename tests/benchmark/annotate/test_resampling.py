"""Prediction-powered intervals of CHAIR_i cover the true rate where the annotator errs, and are the narrower ones."""

import random

from eidolon.benchmark.annotate.annotator import Looked, rounded
from eidolon.benchmark.annotate.decision import Rule
from eidolon.benchmark.annotate.resampling import DescribedImage, covered, draw_again, mean_width, true_value
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.metrics.chair import Chair

NAMES = ("bowl", "cup", "dog", "chair", "lamp", "vase")


def images(count: int) -> list[DescribedImage]:
    """Return images with two or three of six objects, an annotator that errs, and descriptions."""
    draw, found = random.Random(5), []
    for k in range(count):
        truth = tuple(name for name in NAMES if draw.random() < 0.4)
        scores = {name: rounded(draw.gauss(1.2 if name in truth else -1.2, 1.0)) for name in NAMES}
        named = [name for name in NAMES if draw.random() < (0.8 if name in truth else 0.15)]
        mentions = tuple(Mention(category=name, text=name, start=0, end=1, word=0) for name in named)
        response = Response(sample_id=str(k), image_id=str(k), response=" ".join(named))
        judgement = Judgement(sample_id=str(k), image_id=str(k), mentions=mentions)
        found.append(DescribedImage(Looked(scores), truth, response, judgement))
    return found


def test_intervals_cover_the_true_rate_and_the_naive_ones_do_not() -> None:
    made, metric = images(300), Chair()
    value = true_value(made, metric, "chair_i")
    rule = Rule(0.8, None, (0.3, 0.7), 0)
    drawn = draw_again(made, NAMES, metric, "chair_i", rule, labelled=50, times=200, resamples=100)
    powered, alone = [one.powered for one in drawn], [one.alone for one in drawn]
    assert 0.92 <= covered(powered, value) <= 0.985
    assert mean_width(powered) < 0.9 * mean_width(alone)
    assert all((one.method or "").startswith("prediction-powered") for one in powered)
