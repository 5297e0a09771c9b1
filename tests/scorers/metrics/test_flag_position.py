"""Where people's marks are along a response: by hand, by a naive twin, and in worlds with a known law."""

import math

import numpy as np
import pytest

from eidolon.scorers.core.scores import Family
from eidolon.scorers.metrics.flag_position import (
    NAMES,
    FlagPosition,
    MarkedResponse,
    Start,
    fitted,
    starts,
    with_positions,
)

RATIO = "late_early_odds_ratio_per_100_words"


def marked(image: int, text: str) -> MarkedResponse:
    """A response; *word is flagged, ?word is left open."""
    words = text.split()
    flags = tuple(True if w[0] == "*" else None if w[0] == "?" else False for w in words)
    return MarkedResponse(image, tuple(w.lstrip("*?") for w in words), flags)


def test_the_words_at_which_a_span_could_begin() -> None:
    found = [*starts(marked(0, "The mug is *on *a *red *stove. *Near ?it - ?stands two, *goats and *one."))]
    # "stove." and "Near" continue the span that begins at "on", and after "goats" none can begin. "it" and "stands" are
    # open, "-" is no word.
    assert found == [
        Start(0, False, 0, False),
        Start(1, False, 0, False),
        Start(2, False, 0, False),
        Start(3, True, 0, False),
        Start(11, False, 1, True),
        Start(12, True, 1, True),
        Start(14, True, 2, True),
    ]


def test_rates_by_hand() -> None:
    middle = " ".join(["the"] * 58)
    first = marked(0, f"a *red {middle} goat *and *stove lamp")  # 19 early words, two late ones
    second = marked(1, "*Boat, tree street")
    metric = FlagPosition()
    totals = metric.statistics([first, second]).sum(axis=0)
    assert totals.tolist() == [21, 2, 2, 1]
    values = {name: float(value) for name, value in metric.compute(totals).items()}
    assert values == pytest.approx(
        {"span_rate_early": 2 / 21, "span_rate_late": 1 / 2, "span_rate_change": 1 / 2 - 2 / 21}
    )


def world(
    n: int, slope: float, seed: int = 0, spread: float = 0.0, longer: float = 0.0
) -> list[MarkedResponse]:
    """Responses of words in which a span of one word begins with log odds -2.5 + b + slope · words/100.

    `longer` makes the worse responses longer.
    """
    draw = np.random.default_rng(seed)
    made = []
    for i in range(n):
        b = spread * draw.standard_normal()
        length = int(np.clip(60 * math.exp(longer * b) * draw.uniform(0.6, 1.4), 10, 150))
        odds = -2.5 + b + slope * np.arange(length) / 100
        flags = draw.random(length) < 1 / (1 + np.exp(-odds))
        words: list[str] = []
        human: list[bool | None] = []
        for flag in flags:  # an open word after each, so that no two spans touch
            words += ["kettle", "perhaps"]
            human += [bool(flag), None]
        made.append(MarkedResponse(i, tuple(words), tuple(human)))
    return made


def test_the_ratio_of_a_table_by_hand() -> None:
    """Two words in each response, 50 words apart: the odds ratio of a two-by-two table, per 100 words."""
    made = []
    for i in range(100):
        flags: list[bool | None] = [i < 20, *[None] * 49, i % 5 < 2]  # 20 of 100, 40 of 100, independent
        made.append(MarkedResponse(i, ("kettle", *["the"] * 49, "goat"), tuple(flags)))
    found = fitted(made)[RATIO]
    assert found.value == pytest.approx(((40 / 60) / (20 / 80)) ** 2, rel=1e-3)
    assert found.ci is not None
    assert found.ci[0] < found.value < found.ci[1]


def test_a_known_slope_is_found_and_none_is_not() -> None:
    rising = fitted(world(150, slope=1.0, spread=0.7))[RATIO]
    # Two words of the text to each marked word: a slope of 1 per 100 marked words is exp(1/2) per 100 words.
    assert rising.ci is not None
    assert rising.ci[0] < math.exp(0.5) < rising.ci[1]
    assert rising.ci[0] > 1
    still = fitted(world(150, slope=0.0, spread=0.7, seed=1))[RATIO]
    assert still.ci is not None
    assert still.ci[0] < 1 < still.ci[1]


def test_worse_responses_that_are_longer_do_not_make_a_rise() -> None:
    samples = world(150, slope=0.0, spread=1.0, longer=0.4, seed=2)
    values = FlagPosition().compute(FlagPosition().statistics(samples).sum(axis=0))
    assert float(values["span_rate_change"]) > 0.02  # the raw rates rise
    found = fitted(samples)[RATIO]
    assert found.ci is not None
    assert found.ci[0] < 1 < found.ci[1]


def test_spans_that_may_touch_make_no_rise() -> None:
    """Words flagged independently, so that some spans touch: holding the earlier spans changes nothing."""
    draw = np.random.default_rng(0)
    made = []
    for i in range(300):
        flags = draw.random(80) < 1 / (1 + np.exp(2.5 - 0.7 * draw.standard_normal()))
        made.append(MarkedResponse(i, ("kettle",) * 80, tuple(map(bool, flags))))
    found = fitted(made)["late_early_snowball_odds_ratio_per_100_words"]
    assert found.ci is not None
    assert found.ci[0] < 1 < found.ci[1]


def test_last_sentences_can_be_left_out() -> None:
    """A last sentence that is wrong in every response makes a rise that the fit without it does not have."""
    body = world(100, slope=0.0, spread=0.5, seed=3)
    whole = [
        MarkedResponse(one.image_id, (*one.words[:-1], "end.", "What", "calm"), (*one.human, None, True))
        for one in body
    ]
    found, plain = fitted(whole), fitted(body)[RATIO]
    without = found["late_early_body_odds_ratio_per_100_words"]
    assert None not in (found[RATIO].value, without.value, plain.value)
    assert found[RATIO].value > 1.5 * without.value  # type: ignore[operator]
    assert without.value == pytest.approx(plain.value, rel=0.05)


def test_few_marks_have_a_reason() -> None:
    family = with_positions(Family(), [marked(0, "*kettle a goat")], resamples=0)
    found = family.quantities()
    assert [*found] == [*NAMES]
    assert found[RATIO].value is None
    assert "marked spans begin at 1 of 2 words; it takes 20 of either kind" in str(found[RATIO].reason)
    assert with_positions(Family(), [], resamples=0).quantities()[RATIO].value is None
