"""Position given knowledge of two runs: against the bootstrap over images, written out."""

from dataclasses import replace
from math import log

import numpy as np
import pytest

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.forgetting.knowledge import fit_held
from eidolon.scorers.forgetting.knowledge_choices import POSITION
from eidolon.scorers.forgetting.knowledge_difference import KnownRun, compare_positions, position_by_image
from eidolon.scorers.forgetting.knowledge_records import ProbedImage
from eidolon.scorers.forgetting.knowledge_simulation import KnowledgeWorld, simulate_knowledge
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms

IMAGES, SAMPLES = 80, 12
Simulated = tuple[list[ProbedImage], dict[str, JudgedSample]]


def drawn(run: Simulated, images: np.ndarray) -> Simulated:
    """Return a resample of the images, each copy with a name of its own."""
    probes, first = run
    copies, judged = [], {}
    for number, image in enumerate(images.tolist()):
        name, sample = f"r{number}", first[f"s{image}"]
        copies.append(probes[image].model_copy(update={"sample_id": name, "image_id": number}))
        update = {"sample_id": name, "image_id": number}
        judged[name] = replace(
            sample,
            response=sample.response.model_copy(update=update),
            judgement=sample.judgement.model_copy(update=update),
        )
    return copies, judged


def position(run: Simulated) -> float:
    fit, _ = fit_held(*run)
    assert not isinstance(fit, str)
    return fit[POSITION][0]


def test_the_error_of_the_difference_is_that_of_resampled_images() -> None:
    a = simulate_knowledge(KnowledgeWorld(), IMAGES, seed=1)
    b = simulate_knowledge(KnowledgeWorld(position=2.5), IMAGES, seed=2)
    found = compare_positions(KnownRun(*a), KnownRun(*b))
    assert found.a is not None
    assert found.b is not None
    apart = log(found.b) - log(found.a)
    assert apart == pytest.approx(position(b) - position(a))
    rng = np.random.default_rng(0)
    resampled = [
        position(drawn(b, images)) - position(drawn(a, images))
        for images in rng.integers(0, IMAGES, (SAMPLES, IMAGES))
    ]
    numbers: dict[object, int] = {}
    fits = [position_by_image(KnownRun(*run), numbers, judge, seed=0) for run, judge in ((a, -1), (b, -2))]
    influences = [
        [fit.influence.get(i, 0.0) for i in range(IMAGES)] for fit in fits if not isinstance(fit, str)
    ]
    error = float(np.sqrt(((np.array(influences[1]) - np.array(influences[0])) ** 2).sum()))
    assert 0.5 < float(np.std(resampled, ddof=1)) / error < 2
    assert found.p is not None


def test_a_run_does_not_differ_from_itself() -> None:
    run = KnownRun(*simulate_knowledge(KnowledgeWorld(), 60, seed=1))
    found = compare_positions(run, run)
    assert found.difference == 0
    assert found.reason == "no interval: the two fits do not differ in any image"
    unsure = replace(run, alarms=FalseAlarms(0.0, 0.05))
    assert compare_positions(unsure, unsure).ci is not None  # the judge was tested on each run by itself


def test_a_run_without_mistakes_has_a_reason() -> None:
    one = KnownRun(*simulate_knowledge(KnowledgeWorld(), 60, seed=1))
    other = KnownRun(*simulate_knowledge(KnowledgeWorld(sureness=20), 60, seed=1))
    found = compare_positions(one, other)
    assert found.difference is None
    assert found.reason is not None
    assert found.reason.startswith("undefined in B: 0 of")
