"""Position given knowledge: worlds with a known law, and the choices that mentions are."""

import numpy as np
import pytest

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.forgetting.knowledge import KnowledgeSummary, measure_knowledge
from eidolon.scorers.forgetting.knowledge_choices import make_choices, noise_variance
from eidolon.scorers.forgetting.knowledge_records import ProbedImage, ProbedObject
from eidolon.scorers.forgetting.knowledge_simulation import KnowledgeWorld, simulate_knowledge
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms

NO_ERRORS = FalseAlarms(0.0, 0.0)


def found(world: KnowledgeWorld, images: int, seed: int) -> KnowledgeSummary:
    return measure_knowledge(*simulate_knowledge(world, images, seed=seed), alarms=NO_ERRORS)


def test_easy_things_first_is_not_forgetting() -> None:
    summary = found(KnowledgeWorld(sureness=7, spread=(3, 2)), 150, 1)
    assert summary.plain.ci is not None
    assert summary.plain.ci[0] > 1
    assert summary.verdict == "no change shown"
    assert summary.position_given_knowledge.value is not None
    assert 0.3 < summary.position_given_knowledge.value < 3
    assert summary.knowledge.value == pytest.approx(1, abs=0.2)
    assert summary.unasked > 0


def test_a_real_effect_of_position_is_found() -> None:
    summary = found(KnowledgeWorld(position=2.0), 150, 2)
    assert summary.verdict == "rises"
    low, high = summary.position_given_knowledge.ci or (0, 0)
    assert low < np.e**2 < high


def test_earlier_mistakes_are_not_position() -> None:
    summary = found(KnowledgeWorld(snowball=0.7), 150, 3)
    assert summary.verdict == "no change shown"
    assert summary.earlier_wrong.ci is not None
    assert summary.earlier_wrong.ci[0] > 1


def test_worse_responses_that_are_longer_are_not_position() -> None:
    summary = found(KnowledgeWorld(intercept_sd=1.5, longer=0.5), 200, 5)
    held, longer = summary.position_given_knowledge, summary.length_not_held
    assert held.value is not None
    assert held.ci is not None
    assert longer.value is not None
    assert longer.value > 1.5 * held.value
    assert held.ci[0] < 1 < held.ci[1]


def test_noisy_answers_are_corrected() -> None:
    probes, samples = simulate_knowledge(KnowledgeWorld(noise=2), 150, seed=7)
    assert noise_variance(probes) == pytest.approx(2**2 / 4, rel=0.1)
    summary = measure_knowledge(probes, samples, alarms=NO_ERRORS)
    assert summary.noise_sd == pytest.approx(1, rel=0.05)
    ignored, held = summary.noise_ignored.value, summary.position_given_knowledge.value
    assert ignored is not None
    assert held is not None
    assert held < ignored
    assert summary.verdict == "no change shown"
    assert summary.reliability_true is not None
    assert 0.5 < summary.reliability_true < 0.85


def test_false_alarms_of_the_judge_are_not_position() -> None:
    probes, samples = simulate_knowledge(KnowledgeWorld(false_alarms=(0.0, 0.5), instead=False), 120, seed=4)
    ignored = measure_knowledge(probes, samples)
    held = measure_knowledge(probes, samples, alarms=FalseAlarms(0.5, 0.0))
    unsure = measure_knowledge(probes, samples, alarms=FalseAlarms(0.5, 0.2))
    one, other, wide = (s.position_given_knowledge for s in (ignored, held, unsure))
    assert one.value is not None
    assert other.value is not None
    assert other.ci is not None
    assert wide.ci is not None
    assert other.value < 0.8 * one.value
    assert held.verdict == "no change shown"
    assert wide.value == other.value
    assert wide.ci[1] / wide.ci[0] > other.ci[1] / other.ci[0]
    assert (held.false_alarms_per_100_words, unsure.false_alarms_standard_error) == (0.5, 0.2)


def test_a_true_object_that_the_judge_misread_is_not_left() -> None:
    probes, samples = simulate_knowledge(KnowledgeWorld(false_alarms=(0.0, 0.2)), 100, seed=4)
    beside, in_place = (
        measure_knowledge(probes, samples, alarms=FalseAlarms(0.2, 0.02, share)) for share in (0.0, 1.0)
    )
    taken_as_left, held = beside.position_given_knowledge.value, in_place.position_given_knowledge.value
    assert taken_as_left is not None
    assert held is not None
    assert held < 0.8 * taken_as_left
    assert in_place.verdict == "no change shown"
    assert in_place.false_alarms_in_place == 1


def test_a_judge_that_was_not_tested_is_not_held() -> None:
    probes, samples = simulate_knowledge(KnowledgeWorld(position=2.0), 100, seed=2)
    unknown = measure_knowledge(probes, samples)
    assert unknown.verdict == "judge not held"
    assert unknown.false_alarms_in_place is None
    assert unknown.position_given_knowledge.ci is not None
    assert unknown.position_given_knowledge.ci[0] > 1
    for missed, error, verdict in ((0.08, 0.015, "judge not held"), (0.01, 0.015, "rises")):
        alarms = FalseAlarms(0.0, 0.0, 0.0, missed, error)
        assert measure_knowledge(probes, samples, alarms=alarms).verdict == verdict


def test_answers_that_predict_nothing_hold_nothing() -> None:
    probes, samples = simulate_knowledge(KnowledgeWorld(), 80, seed=6)
    rng = np.random.default_rng(0)
    blind = [
        probe.model_copy(
            update={
                "objects": tuple(
                    one.model_copy(
                        update={"log_odds": tuple(rng.standard_normal() + 0.1 * rng.standard_normal(4))}
                    )
                    for one in probe.objects
                )
            }
        )
        for probe in probes
    ]
    assert measure_knowledge(blind, samples).verdict == "knowledge not held"


def test_too_few_mistakes_are_a_reason() -> None:
    summary = found(KnowledgeWorld(sureness=20), 20, 1)
    assert summary.verdict == "not measured"
    assert summary.reason is not None
    assert "it takes 20 of either kind" in summary.reason
    assert summary.position_given_knowledge.reason == summary.reason
    probes, samples = simulate_knowledge(KnowledgeWorld(wordings=1), 40, seed=1)
    reason = measure_knowledge(probes, samples).reason
    assert reason == "one wording alone does not show how noisy the answers are"
    assert measure_knowledge([], {}).verdict == "not measured"


def test_mentions_are_choices_among_what_is_left() -> None:
    objects = [("cat", True), ("dog", True), ("bus", False), ("cup", False)]
    probe = ProbedImage(
        sample_id="s",
        image_id=1,
        objects=tuple(
            ProbedObject(about=name, truth=truth, log_odds=(float(i), i + 2.0))
            for i, (name, truth) in enumerate(objects)
        ),
        unasked=3,
    )
    order = [("bus", 10), ("cat", 30), ("bus", 35), ("kite", 50), ("dog", 60), ("cup", 70)]
    mentions = tuple(
        Mention(
            category=name,
            text=name,
            start=at,
            end=at + 1,
            word=at,
            verdict="grounded" if (name, True) in objects else "hallucinated",
        )
        for name, at in order
    )
    sample = JudgedSample(
        Response(sample_id="s", image_id=1, response="…"),
        Judgement(sample_id="s", image_id=1, mentions=mentions),
        frozenset({"cat", "dog"}),
    )
    choices = make_choices([sample], {"s": probe})
    assert choices.measured[0].tolist() == [1, 2, 3, 4]
    assert choices.there[0].tolist() == [True, True, True, True, False]  # nothing true is left for the cup
    assert choices.chosen[0].tolist() == [2, 0, -1, 1, 3]
    assert choices.wrong[0].tolist() == [True, False, True, False, True]
    assert choices.columns["position"][0].tolist() == [0.1, 0.3, 0.5, 0.6, 0.7]
    assert choices.columns["earlier wrong"][0].tolist() == [0, 1, 1, 2, 2]
    assert choices.unmeasured[0].tolist() == [3, 3, 3, 2, 2]
    assert choices.left[0, 1].tolist() == [True, True, False, True]
