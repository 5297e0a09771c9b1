"""The table of the study, from synthetic answers with known results."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from eidolon.benchmark.study.memory.analysis import analyse
from eidolon.benchmark.study.memory.checkpoints import variant_name
from eidolon.benchmark.study.memory.comparisons import compare
from eidolon.benchmark.study.memory.measurements import (
    BLOCKS,
    COLUMNS,
    BenchSettings,
    CheckpointMeasurements,
    CheckpointSummary,
    TextReading,
)
from eidolon.benchmark.study.memory.pools import Analysis, Pool, make_pools
from eidolon.benchmark.study.memory.records import RetentionComparison, Seeing
from eidolon.benchmark.study.memory.retention import reach_of
from eidolon.benchmark.study.memory.seeing import judge_seeing
from eidolon.benchmark.study.memory.trained import TrainedCheckpoint
from eidolon.models.memory.layout import Memory, Selection, Symbol
from eidolon.scorers.core.types import Response
from eidolon.scorers.retention.records import AnsweredContext, YesNoAnswer
from eidolon.scorers.statistics.bootstrap import BootstrapResult
from eidolon.scorers.statistics.small_samples import METHOD

IMAGES = 40
SETTINGS = BenchSettings(limit=IMAGES, descriptions=IMAGES, lengths=(64, 256, 512))
SYMBOLS: dict[str, Symbol] = {"attention": "*", "swa": "SWA", "gdn": "GDN", "bm": "BM"}


def answer(about: str, truth: bool, right: bool) -> YesNoAnswer:
    yes = truth == right
    return YesNoAnswer(
        kind="object", about=about, truth=truth, log_yes=-0.1 if yes else -3.0, log_no=-3.0 if yes else -0.1
    )


def synthetic(
    variant: str,
    seed: int,
    kept: dict[int, float],
    *,
    first: float = 1.0,
    symbol: Symbol | None = None,
    r_squared: tuple[float, ...] | None = (0.5, 0.6),
    **sizes: object,
) -> CheckpointMeasurements:
    """A model with right answers for a share of images at n = 0, and for a share of these after n."""
    questions, held = [], []
    for image in range(IMAGES):
        knows = image < first * IMAGES
        name = f"scenes-0-{image}"
        start = [answer("cup", True, knows), answer("dog", False, True)]
        questions.append(AnsweredContext(sample_id=name, generation=0, image_id=image, answers=tuple(start)))
        held.append(AnsweredContext(sample_id=name, generation=0, image_id=image, answers=tuple(start)))
        for number, (n, share) in enumerate(kept.items(), 1):
            still = knows and (image * 7 + seed) % IMAGES < share * IMAGES
            held.append(
                AnsweredContext(
                    sample_id=name, generation=number, image_id=image, condition="filler", n=n,
                    answers=(answer("cup", True, still), answer("dog", False, True)),
                )
            )  # fmt: skip
    memory = Memory.model_validate(
        {"layout": (symbol or SYMBOLS[variant],) * 4, "window": 96, "heads": 2, **sizes}
    )
    about = CheckpointSummary(
        variant=variant,
        seed=seed,
        selection=None,
        digest="0" * 64,
        trained_tokens=125,
        parameters=1,
        text_parameters=1,
        predictor_r_squared=r_squared if "BM" in memory.layout else None,
    )
    responses = tuple(
        Response(sample_id=f"scenes-0-{i}", image_id=i, response="There is a cup.", finish_reason="stop")
        for i in range(IMAGES)
    )
    readings = tuple(
        TextReading(
            sample_id=f"scenes-0-{i}",
            generation=text,
            image_id=i,
            blocks=((2.0, 3.0, 5.0, 0.5, 1.0, 2.0, 4.0, 0.25), *[(0.0,) * len(COLUMNS)] * (len(BLOCKS) - 1)),
            # The log of the size falls by 0.02 per token: u = t/100 is 0 and 1, y is 0 and -2.
            moments=(2.0, 0.5, 0.5, 0.5, -1.0, -1.0, 2.0),
        )
        for i in range(IMAGES)
        for text in range(3)
    )
    trained = TrainedCheckpoint(variant, Path("nowhere"), memory, seed, 100, "0" * 64)
    return CheckpointMeasurements(trained, about, responses, tuple(questions), tuple(held), readings)


def pools_of(
    *measured: CheckpointMeasurements, others: tuple[tuple[CheckpointMeasurements, Selection], ...] = ()
) -> list[Pool]:
    return make_pools([*((one, None) for one in measured), *others], IMAGES)


def test_the_row_of_a_variant() -> None:
    kept = {64: 1.0, 256: 0.5, 512: 0.0}
    pools = pools_of(synthetic("attention", 1, kept), synthetic("attention", 2, kept))
    ((row,), comparisons) = analyse(pools, {}, SETTINGS, 200)
    assert comparisons == ()
    assert (row.variant, row.intervals_over, [c.seed for c in row.checkpoints]) == (
        "attention", "seeds and images", [1, 2]
    )  # fmt: skip
    assert row.yes_no_accuracy.value == 1
    assert row.yes_rate.value == 0.5
    assert row.seeing == "trained"
    points = {point.n: point for point in row.retention}
    # R = 2·accuracy - 1, and half of the questions stay right.
    assert [points[n].retention.value for n in (64, 256, 512)] == [1, 0.5, 0]
    assert [points[n].beyond_training for n in (64, 256, 512)] == [False, True, True]
    assert points[256].questions == 2 * 2 * IMAGES
    assert points[256].images == IMAGES
    assert row.checkpoints[0].retention == {64: 1, 256: 0.5, 512: 0}
    text = row.texts[1]
    assert (text.text, text.texts) == ("usual", 2 * IMAGES)
    assert (text.whole.nats.value, text.whole.nats_blind.value, text.whole.pdm.value) == (1.5, 2.5, 0.25)
    assert (text.whole.name_nats.value, text.whole.name_nats_blind.value) == (2, 4)
    assert text.decay_per_100_tokens.value == pytest.approx(1 - np.exp(-2))
    assert text.blocks[0].tokens == 2 * 2 * IMAGES
    assert text.blocks[1].nats.value is None
    assert row.scores["words"].value == 4
    assert row.scores["truncated"].value == 0
    # Nothing was cut off and every answer is right: the intervals still have a width.
    for one, bound in (
        (row.scores["truncated"], 0.0),
        (row.yes_no_accuracy, 1.0),
        (points[64].accuracy, 1.0),
    ):
        assert one.ci is not None
        assert one.ci[0] < one.ci[1]
        assert bound in one.ci
        assert one.method == METHOD
    assert row.position_effect is not None
    assert row.position_effect.odds_ratio.value is None
    assert row.position_effect.reason is not None


def test_one_seed_has_intervals_over_images() -> None:
    ((row,), _) = analyse(pools_of(synthetic("gdn", 1, {64: 0.5})), {}, SETTINGS, 50)
    assert row.intervals_over == "images"
    assert row.seeing == "not compared"


def test_a_variant_that_did_not_learn_to_see() -> None:
    kept = {64: 1.0}
    pools = pools_of(
        synthetic("attention", 1, kept), synthetic("gdn", 1, kept, first=0.9), synthetic("swa", 1, kept)
    )
    rows, _ = analyse(pools, {}, SETTINGS, 50)
    # 0.9 of the present objects and all of the absent ones: 5 points below.
    assert {row.variant: row.seeing for row in rows} == {
        "attention": "trained",
        "gdn": "did not learn to see",
        "swa": "trained",
    }


def estimate(value: float, low: float) -> BootstrapResult:
    nothing = np.array(0)
    return BootstrapResult(np.array(value), np.array(low), np.array(1.0), nothing)


@pytest.mark.parametrize(
    ("accuracy", "reference", "verdict"),
    [
        (0.90, estimate(0.92, 0.9), "trained"),
        (0.899, estimate(0.92, 0.9), "did not learn to see"),
        (0.95, estimate(0.92, 0.9), "trained"),
        # If attention does not see, no variant counts as trained.
        (0.55, estimate(0.55, 0.49), "did not learn to see"),
        (0.9, None, "not compared"),
    ],
)
def test_seeing(accuracy: float, reference: BootstrapResult | None, verdict: str) -> None:
    assert judge_seeing(estimate(accuracy, 0.8), reference) == verdict


def test_reach() -> None:
    assert reach_of(Memory(layout=("SWA",) * 4, window=48)) == 188
    assert reach_of(Memory(layout=("SWA", "GDN"), window=48)) is None
    pools = pools_of(synthetic("swa", 1, {64: 1.0, 256: 0.0, 512: 0.5}, window=48))
    ((row,), _) = analyse(pools, {}, SETTINGS, 200)
    assert row.reach is not None
    assert row.reach.tokens == 188
    assert [(c.n, c.at_chance) for c in row.reach.checks] == [(256, True), (512, False)]


def naive_holm(ps: list[float]) -> list[float]:
    found = []
    for p in ps:
        below = [q for q in ps if q <= p]
        found.append(min(1.0, max(q * sum(r >= q for r in ps) for q in below)))
    return found


SPREAD = (-0.1, -0.05, 0.0, 0.05, 0.1)
"""Difference of the share that each seed keeps from that of its variant."""


def four(**kept: float) -> list[Pool]:
    """Five models of each variant, which keep about a share of the answers after 256 tokens, half of it after 512."""
    return pools_of(
        *(
            synthetic(
                variant, seed, {64: 1.0, 256: round(share + more, 3), 512: round((share + more) / 2, 3)}
            )
            for variant, share in kept.items()
            for seed, more in enumerate(SPREAD)
        )
    )


def compared(
    pools: list[Pool], resamples: int, seeing: dict[str, Seeing] | None = None
) -> tuple[RetentionComparison, ...]:
    """The comparisons of variants that learned to see, except those with another verdict."""
    seen: dict[str, Seeing] = {pool.label: "trained" for pool in pools}
    return compare(Analysis(SETTINGS, resamples), pools, seen | (seeing or {}))


def test_registered_comparisons_and_holm() -> None:
    pools = four(attention=0.8, bm=0.75, gdn=0.35, swa=0.15)
    found = compared(pools, 999)
    registered = [one for one in found if one.registered]
    assert [(one.a, one.b, one.n) for one in registered] == [
        (a, b, n) for a, b in (("attention", "bm"), ("bm", "gdn"), ("gdn", "swa")) for n in (64, 256, 512)
    ]
    ps = [one.p for one in registered]
    assert sum(0 < (p or 0) < 0.05 for p in ps) == 4
    assert sum(0.05 < (p or 0) < 1 for p in ps) == 2
    assert [one.p_holm for one in registered] == pytest.approx(naive_holm([p or 0 for p in ps]))
    assert [one.p_holm for one in registered] != pytest.approx([min(1.0, 9 * (p or 0)) for p in ps])
    outcomes = {(one.a, one.n): one.outcome for one in registered}
    assert all(outcomes[a, 64] == "not significant" for a in ("attention", "bm", "gdn"))
    assert outcomes["bm", 256] == outcomes["gdn", 256] == "a keeps more"
    by_pair = {(one.a, one.b, one.n): one for one in found}
    difference = by_pair["bm", "gdn", 256]
    assert difference.difference.value == pytest.approx(0.4)
    assert difference.of_both_right.value == pytest.approx(0.4)
    assert difference.matched
    assert by_pair["gdn", "swa", 512].outcome == "a keeps more"
    assert difference.accuracy_at_0 == (1, 1)
    assert {(one.p, one.outcome) for one in found if not one.registered} == {(None, "not tested")}
    # All pairs of the four variants, at three lengths, in one condition.
    assert len(found) == 6 * 3


def test_a_registered_comparison_is_tested_over_seeds() -> None:
    kept = {"attention": (0.9, 0.8, 1.0, 0.7, 0.9), "bm": (0.5, 0.3, 0.9, 0.4, 0.6)}
    pools = pools_of(
        *(synthetic(v, seed, {256: share}) for v, shares in kept.items() for seed, share in enumerate(shares))
    )
    (found,) = compared(pools, 99)
    expected = stats.ttest_ind(kept["attention"], kept["bm"], equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-3)
    assert found.difference.ci == pytest.approx((interval.low, interval.high), abs=1e-3)
    assert found.p_holm == pytest.approx(min(1.0, 9 * expected.pvalue), rel=1e-3)
    fewer = [Pool(pool.variant, pool.measured[:4], pool.images) for pool in pools]
    (found,) = compared(fewer, 99)
    assert (found.p, found.p_holm, found.outcome) == (None, None, "too few seeds")
    assert found.reason == "4 and 4 seeds, and 5 are needed"


@pytest.mark.parametrize("verdict", ["did not learn to see", "not compared"])
def test_a_variant_that_did_not_learn_to_see_is_not_comparable(verdict: Seeing) -> None:
    found = compared(four(attention=0.8, gdn=0.5, swa=0.2), 99, {"swa": verdict})
    (row,) = [one for one in found if one.registered and one.n == 256]
    assert (row.a, row.b, row.p, row.p_holm, row.outcome) == ("gdn", "swa", None, None, "not comparable")
    assert row.reason == f"swa: {verdict}"
    assert row.difference.value == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("r_squared", "said"), [((0.9, 0.19), "R² below 0.2"), (None, "was not measured"), ((0.2, 0.2), None)]
)
def test_a_store_that_is_not_filled_by_surprise_is_not_reported(
    r_squared: tuple[float, ...] | None, said: str | None
) -> None:
    kept = {256: 0.5}
    pools = pools_of(
        synthetic("attention", 1, kept),
        synthetic("bm", 1, kept, r_squared=(0.9, 0.9)),
        synthetic("bm", 2, kept, r_squared=r_squared),
    )
    rows, (comparison,) = analyse(pools, {}, SETTINGS, 50)
    bm = rows[1]
    assert bm.predictor_r_squared == ((0.9, 0.9), r_squared)
    assert rows[0].predictor_r_squared == ()
    assert rows[0].not_reported is None
    if said is None:
        assert bm.not_reported is None
        assert bm.retention[0].retention.value == pytest.approx(0.5)
        assert comparison.outcome == "too few seeds"
        return
    assert bm.not_reported is not None
    assert said in bm.not_reported
    assert [(one.retention.value, one.accuracy.value, one.margin.value) for one in bm.retention] == [
        (None,) * 3
    ]
    assert (bm.scores, bm.texts, bm.hallucination, bm.position_effect, bm.reach) == ({}, (), (), None, None)
    assert {(one.f05, *one.retention) for one in bm.checkpoints} == {(None,)}
    assert bm.yes_no_accuracy.value == 1
    assert bm.retention[0].reason == comparison.reason == bm.not_reported
    assert (comparison.outcome, comparison.p, comparison.difference.value) == ("not reported", None, None)


def test_missing_comparisons_count_in_holms_correction() -> None:
    found = [one for one in compared(four(bm=0.6, gdn=0.45), 999) if one.registered]
    ps = [one.p or 0 for one in found]
    assert len(ps) == 3
    assert 0 < min(ps) < 0.05 < 9 * min(ps) < 1
    assert [one.p_holm for one in found] == pytest.approx(naive_holm([*ps, *[1.0] * 6])[:3])


def test_without_resamples_there_are_no_intervals() -> None:
    pools = pools_of(synthetic("attention", 1, {256: 1.0}), synthetic("swa", 1, {256: 0.5}))
    (one,) = compared(pools, 0)
    assert (one.p, one.difference.ci, one.outcome) == (None, None, "not tested")
    assert one.difference.value == pytest.approx(0.5)


def test_seeds_without_spread_are_not_tested() -> None:
    """Retention is a share of few answers, so five models can have the same."""
    pools = pools_of(
        *(
            synthetic(v, seed, {256: share})
            for v, share in (("attention", 0.9), ("bm", 0.8))
            for seed in range(5)
        )
    )
    (one,) = compared(pools, 99)
    assert (one.p, one.outcome) == (None, "not measured")
    assert one.reason == "the seeds of both variants keep exactly the same share, so their spread is unknown"


def test_the_retention_of_one_model_needs_a_large_r_0() -> None:
    pools = pools_of(synthetic("bm", 1, {256: 1.0}, first=0.1), synthetic("bm", 2, {256: 0.5}))
    ((row,), _) = analyse(pools, {}, SETTINGS, 100)
    assert [one.retention[256] for one in row.checkpoints] == [None, pytest.approx(0.5)]


def test_equal_answers_do_not_differ() -> None:
    found = compared(four(attention=0.5, bm=0.5), 200)
    assert all(one.difference.value == 0 for one in found)
    assert {one.outcome for one in found} == {"not significant"}


def test_different_r_0_do_not_match() -> None:
    pools = pools_of(synthetic("attention", 1, {256: 1.0}), synthetic("bm", 1, {256: 1.0}, first=0.8))
    (found,) = (one for one in compared(pools, 100))
    assert found.accuracy_at_0 == (1, pytest.approx(0.9))
    assert found.matched is False


def test_a_variant_with_a_small_r_0_is_not_compared() -> None:
    pools = pools_of(synthetic("attention", 1, {256: 1.0}), synthetic("bm", 1, {256: 1.0}, first=0.1))
    (found,) = (one for one in compared(pools, 100))
    assert found.outcome == "not measured"
    assert found.p is None
    assert found.reason is not None
    assert "too little to forget" in found.reason
    (found,) = compared(pools, 100, {"bm": "did not learn to see"})
    assert (found.outcome, found.reason) == ("not comparable", "bm: did not learn to see")


def test_other_stores_are_compared_with_those_by_innovation() -> None:
    plain, random = synthetic("bm", 1, {256: 0.8}), synthetic("bm", 1, {256: 0.4})
    trained_so = synthetic("bm(selection=recent)", 1, {256: 0.4}, symbol="BM", selection="recent")
    wider = synthetic("bm(window=9)", 1, {256: 0.9}, symbol="BM", window=9)
    wider_random = synthetic("bm(window=9)", 1, {256: 0.3}, symbol="BM", window=9)
    pools = pools_of(plain, trained_so, wider, others=((random, "random"), (wider_random, "random")))
    assert [pool.label for pool in pools] == [
        "bm", "bm[random]", "bm(selection=recent)", "bm(window=9)", "bm(window=9)[random]"
    ]  # fmt: skip
    found: tuple[RetentionComparison, ...] = compared(pools, 200)
    assert [(one.a, one.b, one.registered) for one in found] == [
        ("bm", "bm[random]", False),
        ("bm", "bm(selection=recent)", False),
        ("bm(window=9)", "bm(window=9)[random]", False),
    ]
    assert [one.difference.value for one in found] == pytest.approx([0.4, 0.4, 0.6])


def test_a_name_that_is_not_that_of_the_memories_registers_nothing() -> None:
    named = synthetic("bm", 1, {256: 0.9}, window=48)
    (found,) = compared(pools_of(synthetic("attention", 1, {256: 0.9}), named), 100)
    assert (found.a, found.b, found.n, found.registered) == ("attention", "bm", 256, False)


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ({}, "bm"),
        ({"predictor": "last", "store_position": "absolute"}, "bm(predictor=last,store_position=absolute)"),
        ({"query_key_norm": False, "rotary_base": 500.0}, "bm(query_key_norm=False,rotary_base=500.0)"),
        ({"chunk": 8}, "bm"),
    ],
)
def test_names_have_all_sizes_that_matter(sizes: dict[str, object], name: str) -> None:
    memory = {"layout": ("BM",) * 4, "heads": 2}
    assert variant_name(Memory.model_validate(memory | sizes)) == name
    assert variant_name(Memory.model_validate(memory | sizes | {"layout": ("M2",) * 4})) == "m2"


def test_another_rule_is_compared_on_the_seeds_that_were_measured_with_it() -> None:
    kept = (0.9, 0.5, 0.5, 0.5, 0.5)
    plain = [synthetic("bm", seed, {256: share}) for seed, share in enumerate(kept)]
    pools = pools_of(*plain, others=((synthetic("bm", 0, {256: 0.9}), "random"),))
    assert [(pool.label, sorted(pool.seeds)) for pool in pools] == [
        ("bm", [0, 1, 2, 3, 4]), ("bm[innovation]", [0]), ("bm[random]", [0])
    ]  # fmt: skip
    (found,) = compared(pools, 200)
    assert (found.a, found.b) == ("bm", "bm[random]")
    assert found.difference.value == 0
    assert found.difference.ci == (0, 0)
    gone = pools_of(*plain, others=((synthetic("bm", 9, {256: 0.9}), "random"),))
    assert compared(gone, 200) == ()
