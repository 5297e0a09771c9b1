"""Events, curves and the metric, compared with results computed by hand and with plain loops."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.curves import curve
from eidolon.scorers.forgetting.detail import forgetting_detail
from eidolon.scorers.forgetting.events import read_events
from eidolon.scorers.forgetting.judge_position import judge_position
from eidolon.scorers.forgetting.metric import Forgetting
from eidolon.scorers.forgetting.subsets import ALL, FIRST, SUBSETS
from eidolon.scorers.metrics.scoring import score

CATEGORIES = ("dog", "cat", "car", "cup", "bed")


def sample(
    key: int,
    words: str,
    objects: Sequence[str],
    *,
    image: int | None = None,
    ignored: Sequence[str] = (),
    tokens: bool = False,
) -> JudgedSample:
    """Return a response whose words are the categories that they name, with two tokens for each word."""
    mentions, position = [], 0
    for index, word in enumerate(words.split()):
        start = words.index(word, position)
        position = start + len(word)
        if word in CATEGORIES:
            mentions.append(
                Mention(
                    category=word,
                    text=word,
                    start=start,
                    end=position,
                    word=index,
                    token=2 * index if tokens else None,
                    verdict="ignored" if word in ignored else None,
                )
            )
    image = key if image is None else image
    response = Response(
        sample_id=str(key),
        image_id=image,
        response=words,
        completion_tokens=2 * len(words.split()) if tokens else None,
    )
    judgement = Judgement(sample_id=str(key), image_id=image, mentions=tuple(mentions))
    return JudgedSample(response, with_verdicts(judgement, objects), frozenset(objects))


def test_a_response_by_hand() -> None:
    events = read_events([sample(7, "a dog and a cat and a dog by a car", ["dog", "car", "bed"])])
    mentions = events.mentions
    assert mentions.word.tolist() == [1, 4, 7, 10]
    assert mentions.hallucinated.tolist() == [False, True, False, False]
    assert mentions.first.tolist() == [True, True, False, True]
    assert mentions.unnamed.tolist() == [3, 2, 2, 2]
    assert mentions.earlier.tolist() == [0, 1, 2, 2]
    assert np.isnan(mentions.token).all()
    assert events.responses.words.tolist() == [11]
    assert events.responses.true_objects.tolist() == [3]


def test_ignored_mentions_and_their_objects_are_left_out() -> None:
    events = read_events([sample(0, "a dog and a cat", ["dog", "cat"], ignored=["dog"])])
    assert events.mentions.word.tolist() == [4]
    assert events.mentions.unnamed.tolist() == [1]
    assert events.responses.true_objects.tolist() == [1]


def test_a_judge_without_spans_is_refused() -> None:
    judged = sample(0, "a dog", ["dog"])
    nowhere = judged.judgement.mentions[0].model_copy(update={"text": "", "start": 0, "end": 0})
    judgement = judged.judgement.model_copy(update={"mentions": (nowhere,)})
    with pytest.raises(ValueError, match="does not say where"):
        read_events([JudgedSample(judged.response, judgement, judged.objects)])


def test_the_guesser_draws_by_prevalence_in_other_images() -> None:
    events = read_events(
        [
            sample(0, "dog cup", ["dog"]),
            sample(1, "bed", ["dog", "cat"]),
            sample(2, "a", ["dog", "cup"]),
            sample(3, "the same image again: cat", ["dog", "cup"], image=2),
        ]
    )
    # Images but the first hold dog 2, cat 1, cup 1: of four draws two are right. With the dog named cat and cup are
    # left, both wrong. In image 1 the others hold dog 2, cup 1 and no cat; in image 2 dog 2, cat 1 and no cup.
    np.testing.assert_allclose(events.mentions.prior, [0.5, 1.0, 1 / 3, 1 / 3])


WORDS = st.lists(st.sampled_from([*CATEGORIES, "and", "the", "a"]), min_size=0, max_size=130).map(" ".join)
SAMPLES = st.lists(
    st.tuples(WORDS, st.sets(st.sampled_from(CATEGORIES), max_size=4)), min_size=1, max_size=6
).map(
    lambda rows: [sample(i, words, sorted(objects), tokens=True) for i, (words, objects) in enumerate(rows)]
)


@given(SAMPLES)
def test_events_equal_a_plain_reading(samples: list[JudgedSample]) -> None:
    mentions = read_events(samples).mentions
    expected = []
    for index, judged in enumerate(samples):
        seen: list[str] = []
        for at, word in enumerate((judged.response.response or "").split()):
            if word in CATEGORIES:
                unnamed = len([c for c in judged.objects if c not in seen])
                expected.append(
                    (index, at, word not in judged.objects, word not in seen, unnamed, len(set(seen)))
                )
                seen.append(word)
    columns = (
        mentions.response, mentions.word, mentions.hallucinated, mentions.first, mentions.unnamed, mentions.earlier
    )  # fmt: skip
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected


@given(SAMPLES)
def test_the_prior_equals_drawing_from_the_other_images(samples: list[JudgedSample]) -> None:
    mentions = read_events(samples).mentions
    rows = iter(mentions.prior.tolist())
    for judged in samples:
        others = Counter(c for s in samples if s is not judged for c in s.objects)
        named: set[str] = set()
        for mention in judged.judgement.mentions:
            found = next(rows)
            if mention.category in named:
                assert math.isnan(found)
                continue
            pool = [c for c in others.elements() if c not in named]
            if pool:
                wrong = sum(c not in judged.objects for c in pool) / len(pool)
                assert found == pytest.approx(wrong)
            else:
                assert math.isnan(found)
            named.add(mention.category)


@given(SAMPLES)
def test_curves_equal_counting(samples: list[JudgedSample]) -> None:
    events = read_events(samples)
    for subset, first in ((FIRST, True), (ALL, False)):
        found = curve(events, subset.mentions(events), label="", unit="words", resamples=0)
        tokens = curve(events, subset.mentions(events), label="", unit="tokens", resamples=0)
        named = [
            (mention.word, mention.category not in s.objects)
            for s in samples
            for i, mention in enumerate(s.judgement.mentions)
            if not first or mention.category not in [m.category for m in s.judgement.mentions[:i]]
        ]
        if not named:
            assert found is None
            continue
        assert found is not None
        assert tokens is not None
        lengths = [len((s.response.response or "").split()) for s in samples]
        for point in found.points:
            assert point.end is not None
            inside = [wrong for word, wrong in named if point.start <= word < point.end]
            written = sum(min(max(length - point.start, 0), 10) for length in lengths)
            assert (point.mentions, point.hallucinated) == (len(inside), sum(inside))
            assert point.rate == (pytest.approx(sum(inside) / len(inside)) if inside else None)
            assert point.per_100 == (pytest.approx(100 * sum(inside) / written) if written else None)
            assert point.alive == sum(length > point.start for length in lengths)
        assert sum(point.mentions for point in tokens.points) == len(named)
        assert [p.hallucinated for p in tokens.points] == [
            sum(wrong for word, wrong in named if p.start <= 2 * word < (p.end or math.inf))
            for p in tokens.points
        ]


def test_tenths_are_of_each_response() -> None:
    long = " ".join(["dog", *["a"] * 98, "cat"])
    events = read_events([sample(0, "dog a a a a a a a a cup", ["dog"]), sample(1, long, ["cat"])])
    found = curve(events, FIRST.mentions(events), label="", unit="tenths", resamples=0)
    assert found is not None
    assert [point.mentions for point in found.points] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert [point.hallucinated for point in found.points] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert found.points[0].per_100 == pytest.approx(100 / 11), "a tenth of ten words and of a hundred"


def test_without_token_offsets_there_is_no_curve_by_tokens() -> None:
    events = read_events([sample(0, "dog cat", ["dog"])])
    assert curve(events, FIRST.mentions(events), label="", unit="tokens") is None


def long_response(named: dict[int, str], length: int) -> str:
    return " ".join(named.get(i, "a") for i in range(length))


def test_the_metric_by_hand() -> None:
    samples = [
        sample(0, long_response({1: "dog", 5: "cat", 65: "cup", 70: "dog"}, 90), ["dog", "cat", "bed"]),
        sample(1, long_response({2: "car", 61: "dog", 85: "cup"}, 90), ["dog", "bed"]),
        sample(2, long_response({3: "dog", 62: "dog"}, 64), ["cat"]),
    ]
    found = {
        name: float(v) for name, v in Forgetting().compute(Forgetting().statistics(samples).sum(0)).items()
    }
    assert found["rate_early"] == pytest.approx(2 / 4), "car and the last dog of dog, cat, car, dog"
    assert found["rate_late"] == pytest.approx(2 / 3), "cup and cup of cup, dog, cup"
    assert found["rate_change"] == pytest.approx(1 / 6)
    assert found["survivors_change"] == pytest.approx(1 / 2 - 1 / 3), (
        "word 85 is beyond 80, the third too short"
    )
    assert math.isnan(found["unexhausted_change"]), "no late mention has three true objects left"
    assert math.isnan(found["repeated_change"]), "no early re-mention"


def test_scores_carry_the_fitted_numbers_or_their_reason() -> None:
    one = score([sample(0, "a dog", ["dog"])], [Forgetting()], signature="s", resamples=10).metrics[
        "forgetting"
    ]
    assert one["adjusted_odds_ratio_per_100_words"].value is None
    assert (
        one["adjusted_odds_ratio_per_100_words"].reason
        == "0 of 1 first mentions are hallucinated; it takes 20 of either kind"
    )
    none = score([], [Forgetting()], signature="s", resamples=10).metrics["forgetting"]
    assert {value.reason for value in none.quantities().values()} == {"no scored responses"}


def test_the_detail_is_json_and_says_what_it_could_not_do() -> None:
    samples = [
        sample(
            i,
            long_response({2: "dog", 30 + i % 9: "cat", 66: "cup"}, 70 + i),
            ["dog", "bed", *(["cup"] * (i % 2))],
        )
        for i in range(12)
    ]
    detail = forgetting_detail(samples, signature="s", resamples=20)
    text = detail.to_json()
    assert type(detail).model_validate_json(text) == detail
    assert "NaN" not in text
    assert {line.label for line in detail.curves} == {
        subset.label for subset in SUBSETS if subset.name != "repeated"
    }
    assert [found.words for found in detail.fixed_sets] == [40, 60, 80]
    fixed = detail.fixed_sets[1]
    assert (fixed.responses, fixed.early, fixed.late) == (12, 0.0, None)
    assert detail.sensitivity[-1].reason == "not every mention has a position in tokens"


def test_sizes_of_what_is_left_and_what_is_named() -> None:
    areas = {"dog": 0.5, "cat": 0.1, "bed": 0.02}
    judged = [
        replace(sample(0, "a dog and a cat and a cup", ["dog", "cat", "bed"]), areas=areas),
        replace(sample(1, "a cup and a dog", ["dog", "cat", "bed"]), areas=areas),
    ]
    assert read_events(judged).mentions.largest.tolist() == [0.5, 0.1, 0.02, 0.5, 0.5]
    small, middle, large = forgetting_detail(judged, signature="s", resamples=20).sizes
    assert [(s.objects, s.named, s.recall, s.word) for s in (small, middle, large)] == [
        (2, 0, 0.0, None),
        (2, 1, 0.5, 4.0),
        (2, 2, 1.0, 2.5),
    ]
    assert (small.largest, middle.smallest, large.smallest) == (0.02, 0.1, 0.5)
    partly = [replace(judged[0], areas={"dog": 0.5}), judged[1]]
    largest = read_events(partly).mentions.largest
    assert (largest[0], largest[3]) == (0.5, 0.5)
    assert np.isnan(largest[1:3]).all(), "of what is left none has an area that is known"
    sizes = forgetting_detail(partly, signature="s", resamples=20).sizes
    assert [(s.smallest, s.objects, s.named) for s in sizes] == [(0.02, 2, 0), (0.5, 1, 1), (0.5, 1, 1)]


class Forgetful:
    """Reads categories in the first 25 characters only."""

    name = "forgetful"
    vocabulary = CATEGORIES

    def __init__(self, reach: int) -> None:
        self.reach = reach

    def signature(self) -> str:
        return "forgetful"

    def judge(self, responses: Iterable[Response]) -> Iterable[Judgement]:
        for response in responses:
            text = response.response or ""
            found = [
                Mention(category=c, text=c, start=text.index(c), end=text.index(c) + 3, word=0)
                for c in CATEGORIES
                if c in text and text.index(c) < self.reach
            ]
            yield Judgement(sample_id=response.sample_id, image_id=response.image_id, mentions=tuple(found))


class Muddled(Forgetful):
    """Reads a dog late: in place of a cat, and beside a car."""

    def judge(self, responses: Iterable[Response]) -> Iterable[Judgement]:
        for one in super().judge(responses):
            mentions = []
            for m in one.mentions:
                late = m.start >= 25
                dog = m.model_copy(update={"category": "dog", "start": m.start + 1})
                mentions += [m] if not late else [dog] if m.category == "cat" else [m, dog]
            yield one.model_copy(update={"mentions": tuple(mentions)})


@pytest.mark.parametrize(("named", "in_place"), [("cat", 1.0), ("car", 0.0)])
def test_what_a_late_sentence_adds_may_take_the_place_of_what_it_names(named: str, in_place: float) -> None:
    words = f"There is nothing at all. Here we see one {named}. There is nothing more to see."
    place = judge_position(Muddled(10_000), [sample(i, words, [named]) for i in range(10)])
    assert place.added_per_100_words == pytest.approx(100 / 11)
    assert place.added_in_place == in_place
    assert place.missed_per_100_words == 0


def test_a_judge_that_reads_the_beginning_only_is_found_out() -> None:
    words = "There is nothing at all. Here we see one cat. There is nothing more to see."
    samples = [sample(i, words, ["cat"]) for i in range(70)]
    fair = judge_position(Forgetful(10_000), samples)
    assert fair.sentences == 60
    assert fair.categories == {"alone": 1.0, "first": 1.0, "last": 1.0}
    assert fair.same == {"first as alone": 1.0, "last as first": 1.0}
    biased = judge_position(Forgetful(25), samples)
    assert biased.categories == {"alone": 1.0, "first": 1.0, "last": 0.0}
    assert biased.same == {"first as alone": 1.0, "last as first": 0.0}
    assert fair.added_in_place is biased.added_in_place is None
    assert fair.missed_per_100_words == 0
    assert biased.missed_per_100_words == pytest.approx(100 / 11)
    none = judge_position(Forgetful(25), [sample(0, "One dog.", ["dog"])])
    assert (none.sentences, none.categories["last"]) == (0, None)
