"""Scores from counted batches, compared byte for byte with those from all samples at once."""

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from eidolon.scorers.core.metric import JudgedSample, Metric
from eidolon.scorers.core.types import Edit, ImageId, Judgement, Mention, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.metric import Forgetting
from eidolon.scorers.metrics.aloha import Aloha
from eidolon.scorers.metrics.chair import Chair
from eidolon.scorers.metrics.objects import Objects
from eidolon.scorers.metrics.openchair import OpenChair
from eidolon.scorers.metrics.scoring import score
from eidolon.scorers.metrics.tally import Tally, can_tally, tally_batch

VOCABULARY = tuple(f"thing {i}" for i in range(40))
ALL: dict[str, Sequence[Metric]] = {
    "chair": [Chair()],
    "objects": [Objects()],
    "aloha": [Aloha()],
    "openchair": [OpenChair()],
    "all": [Objects(), Aloha(), Chair(), OpenChair()],
}


def judged(index: int, rng: np.random.Generator) -> tuple[Response, Judgement, JudgedSample]:
    """A response with up to five mentions; every seventh is unscored, every fifth was edited."""
    image: ImageId = int(rng.integers(0, 30)) if index % 3 else f"image {rng.integers(0, 9)}"
    objects = frozenset(VOCABULARY[i] for i in rng.integers(0, 40, size=3))
    named = [VOCABULARY[i] for i in rng.integers(0, 40, size=rng.integers(0, 6))]
    mentions = tuple(
        Mention(category=c, text=c, start=0, end=1, word=0, similarity=float(rng.random()), match=None)
        for c in named
    )
    unscored = "not read" if index % 7 == 0 else None
    response = Response(
        sample_id=str(index),
        image_id=image,
        response=["", "I'm sorry, I can't help with that.", "A dog sleeps."][index % 3],
        finish_reason="length" if index % 4 == 0 else "stop",
    )
    judgement = with_verdicts(
        Judgement(
            sample_id=str(index),
            image_id=image,
            mentions=() if unscored else mentions,
            unscored=unscored,
            edits=(Edit(start=0, end=0, text="", rule="markdown"),) if index % 5 == 0 else (),
        ),
        objects,
    )
    return response, judgement, JudgedSample(response, judgement, objects)


@pytest.mark.parametrize("size", [1, 13, 500])
@pytest.mark.parametrize("name", ALL)
def test_equals_the_scores_of_all_samples(name: str, size: int) -> None:
    rng = np.random.default_rng(0)
    rows = [judged(index, rng) for index in range(120)]
    samples = [one for _, judgement, one in rows if judgement.unscored is None]
    naive = score(
        samples,
        ALL[name],
        signature="s",
        unscored=len(rows) - len(samples),
        vocabulary=VOCABULARY,
        responses=[response for response, _, _ in rows],
        edits=[judgement.edits for _, judgement, _ in rows],
        seed=3,
        resamples=40,
    )
    tally = Tally(ALL[name], VOCABULARY)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        responses, judgements = [row[0] for row in part], [row[1] for row in part]
        scored = [row[2] for row in part if row[1].unscored is None]
        tally.add(tally_batch(responses, judgements, scored, ALL[name], VOCABULARY))
    ids = [*dict.fromkeys(response.image_id for response, _, _ in rows)]
    images = np.array([ids.index(response.image_id) for response, _, _ in rows])
    assert tally.scores(images, ids, signature="s", seed=3, resamples=40).to_json() == naive.to_json()


def test_responses_none_of_which_was_scored() -> None:
    response = Response(sample_id="1", image_id=1, response=None, error="down")
    judgement = Judgement(sample_id="1", image_id=1, unscored="down")
    metrics = [Chair(), Objects()]
    tally = Tally(metrics, VOCABULARY)
    tally.add(tally_batch([response], [judgement], [], metrics, VOCABULARY))
    naive = score(
        [], metrics, signature="s", unscored=1, vocabulary=VOCABULARY, responses=[response], resamples=5
    )
    assert tally.scores(np.zeros(1, int), [1], signature="s", resamples=5).to_json() == naive.to_json()


def test_the_worst_responses_come_first_in_their_order() -> None:
    rng = np.random.default_rng(1)
    rows = [judged(index, rng) for index in range(60)]
    tally = Tally([Chair()], None)
    for start in range(0, 60, 7):
        part = rows[start : start + 7]
        scored = [row[2] for row in part if row[1].unscored is None]
        tally.add(tally_batch([r[0] for r in part], [r[1] for r in part], scored, [Chair()], None))
    wrong = [sum(m.verdict == "hallucinated" for m in judgement.mentions) for _, judgement, _ in rows]
    assert tally.worst(10) == sorted(range(60), key=lambda i: -wrong[i])[:10]


def test_only_metrics_that_say_so_are_computed_batch_by_batch() -> None:
    assert all(can_tally(metric) for metric in ALL["all"])
    assert not can_tally(Forgetting())  # its statistics know how frequent a category is in all samples


def test_counts_take_a_small_part_of_the_memory_of_samples() -> None:
    metrics: Sequence[Metric] = [Chair(), Objects()]
    rng = np.random.default_rng(2)
    tracemalloc.start()
    rows = [judged(index, rng) for index in range(512)]
    kept = tracemalloc.get_traced_memory()[0]
    tally = Tally(metrics, VOCABULARY)
    before = tracemalloc.get_traced_memory()[0]
    scored = [row[2] for row in rows if row[1].unscored is None]
    tally.add(tally_batch([r[0] for r in rows], [r[1] for r in rows], scored, metrics, VOCABULARY))
    del scored
    counted = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert counted < kept / 20
