"""The figure of several runs: position with what the model knew held fixed, and without."""

from eidolon.benchmark.drawing.style import SCREEN
from eidolon.benchmark.tasks.forget.knowledge.detail import SCHEMA, KnowledgeDetail
from eidolon.benchmark.tasks.forget.knowledge.plot import side_by_side
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.knowledge import KnowledgeSummary, Verdict


def detail(value: float | None, verdict: Verdict) -> KnowledgeDetail:
    held = (
        Estimate(value=None, ci=None, reason="too few")
        if value is None
        else Estimate(value=value, ci=(value / 2, value * 2))
    )
    return KnowledgeDetail(
        schema=SCHEMA,
        signature="line",
        absent=24,
        wordings=("a", "b"),
        failed=0,
        found=KnowledgeSummary(
            responses=9,
            mentions=90,
            hallucinated=30,
            unasked=0,
            noise_sd=0.1,
            reliability_true=0.9,
            reliability_absent=0.9,
            position_given_knowledge=held,
            length_not_held=held,
            noise_ignored=held,
            plain=Estimate(value=8.0, ci=(4.0, 16.0)),
            knowledge=Estimate(value=1.0, ci=(0.9, 1.1)),
            earlier_wrong=Estimate(value=1.0, ci=(0.9, 1.1)),
            intercept_sd=0.0,
            slope_sd=0.0,
            verdict=verdict,
        ),
    )


def test_each_run_has_its_odds_ratio_held_and_not_held() -> None:
    figure = side_by_side(
        {
            "easy-first": detail(1.0, "no change shown"),
            "forgets": detail(7.0, "rises"),
            "few": detail(None, "not measured"),
        },
        SCREEN,
    )
    texts = " ".join(text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text")))
    assert "Rises with knowledge held: forgets" in texts
    for name in ("easy-first", "forgets", "few"):
        assert f"{name}, knowledge held" in texts
        assert f"{name}, not held" in texts
    assert "not estimable" in texts
