"""Votes that need not be asked: the verdicts of an ensemble that asks all, from fewer questions."""

from collections.abc import Callable, Sequence
from itertools import product
from random import Random
from typing import Any

import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.language_model import Reply
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.qa import QuestionJudge
from eidolon.scorers.judges.saved_votes import AUDITED_ONE_IN, is_audited, is_settled, verdict_of
from eidolon.scorers.metrics.throne_judged import JudgedThrone

Answer = Callable[[str, str, str], bool]
CATEGORIES = "dog,cat,cup,car,bench"


class Counting:
    """Answers by a function of its name, the text and the question, and counts the questions."""

    def __init__(self, name: str, answer: Answer) -> None:
        self.name, self._answer, self.asked = name, answer, 0

    def signature(self) -> str:
        return f"{self.name}#0"

    def reply(self, prompts: Sequence[str], **_: Any) -> list[Reply]:
        self.asked += len(prompts)
        return [Reply("yes" if self._answer(self.name, *_parts(prompt)) else "no") for prompt in prompts]


def _parts(prompt: str) -> tuple[str, str]:
    text, _, asked = prompt.partition("\n\nRead the text and answer the question.\n\n")
    return text, asked


def noisy(name: str, text: str, asked: str) -> bool:
    """Say yes or no by chance, but always the same; on some texts nearly always yes or no."""
    share = Random(text).choice((0.02, 0.5, 0.98))
    return Random(f"{name}{text}{asked}").random() < share


def literal(_: str, text: str, asked: str) -> bool:
    """Say yes to what is named."""
    return any(name in text.split() and f" {name} " in asked for name in CATEGORIES.split(","))


def run(
    answer: Answer, votes: str, texts: Sequence[str], **options: Any
) -> tuple[list[Judgement], int, QuestionJudge]:
    models = [Counting(f"m{i}", answer) for i in range(3)]
    judge = QuestionJudge(models, reading="windows", categories=CATEGORIES, votes=votes, **options)
    rows = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
    found = list(judge.judge(rows))
    return found, sum(model.asked for model in models), judge


def verdicts(found: Sequence[Judgement]) -> list[dict[str, str | None]]:
    return [{mention.category: mention.verdict for mention in one.mentions} for one in found]


@pytest.mark.parametrize("threshold", range(3, 6))
def test_a_settled_vote_has_one_verdict_whatever_follows(threshold: int) -> None:
    for given in range(6):
        for votes in product((0, 1), repeat=given):
            possible = {
                verdict_of(sum(votes) + sum(rest), 5, threshold) for rest in product((0, 1), repeat=5 - given)
            }
            assert is_settled(votes, 5, threshold) == (len(possible) == 1)


@pytest.mark.parametrize("threshold", [9, 8, 5])
@pytest.mark.parametrize("answer", [noisy, literal])
def test_needed_votes_give_the_same_verdicts(answer: Answer, threshold: int) -> None:
    texts = [f"a {a} and a {b} on the grass" for a in CATEGORIES.split(",") for b in CATEGORIES.split(",")]
    whole, asked, _ = run(answer, "all", texts, threshold=threshold)
    found, fewer, judge = run(answer, "needed", texts, threshold=threshold)
    assert verdicts(found) == verdicts(whole)
    assert len({str(one) for one in verdicts(whole)}) > 1
    assert fewer < asked or (answer is literal and threshold == 9)
    votes = [v for one in found for of_one in (one.votes or {}).values() for v in of_one.values()]
    assert set(votes) <= {0, 1}
    assert not judge.asks_all_votes


def test_the_scores_at_the_threshold_are_the_same_and_no_others_are_given() -> None:
    texts = [f"a {name} on the grass" for name in CATEGORIES.split(",")] * 3
    scores = []
    for votes in ("all", "needed"):
        found, _, judge = run(noisy, votes, texts)
        rows = [
            JudgedSample(
                Response(sample_id=j.sample_id, image_id=j.image_id, response="x"),
                j,
                frozenset({"dog", "cup"}),
            )
            for j in found
        ]
        metric = JudgedThrone(judge)
        scores.append(metric.compute(metric.statistics(rows).sum(axis=0)))
        thresholds = [v.label for v in metric.variants() if "threshold" in v.label]
        assert bool(thresholds) is (votes == "all")
    assert {k: float(v) for k, v in scores[0].items()} == pytest.approx(
        {k: float(v) for k, v in scores[1].items()}, nan_ok=True
    )


def test_what_no_reading_names_is_not_asked_and_the_rest_is() -> None:
    texts = [f"There is a {name} here, but no bench." for name in ("dog", "cat", "cup", "car")] * 30
    whole, asked, _ = run(literal, "all", texts)
    found, fewer, judge = run(literal, "screened", texts)
    audited = sum(is_audited(Response(sample_id=str(i), image_id=i, response="x")) for i in range(len(texts)))
    assert audited > 0
    assert verdicts(found) == verdicts(whole)
    assert (judge.audit.responses, judge.audit.cells, judge.audit.differing) == (audited, 5 * audited, 0)
    assert f"0 of {5 * audited} cells differ (0.000%)" in str(judge.note())
    assert run(literal, "needed", texts[:1])[2].note() is None
    # Equal prompts of a chunk are asked once in both, so the counts are of distinct questions.
    assert fewer < 0.7 * asked


def test_the_audit_counts_what_the_screening_would_change() -> None:
    """A judge that says yes to what no text names: the audited responses show it."""
    texts = ["A dog."] * (4 * AUDITED_ONE_IN)
    found, _, judge = run(lambda *_: True, "screened", texts)
    audited = [
        i for i in range(len(texts)) if is_audited(Response(sample_id=str(i), image_id=i, response="x"))
    ]
    assert judge.audit.differing == 4 * len(audited) > 0
    assert judge.audit.share == pytest.approx(0.8)
    assert [len(one) for one in verdicts(found)] == [5 if i in audited else 1 for i in range(len(texts))]


def test_a_response_without_a_text_is_unscored() -> None:
    models = [Counting("a", literal)]
    judge = QuestionJudge(models, reading="windows", votes="screened", categories=CATEGORIES)
    rows = [
        Response(sample_id="0", image_id=0, response=None, error="it broke"),
        Response(sample_id="1", image_id=1, response="a dog"),
    ]
    broken, whole = judge.judge(rows)
    assert broken.unscored == "it broke" or "it broke" in str(broken.unscored)
    assert verdicts([whole]) == [{"dog": None}]


def test_the_mode_is_in_the_signature_and_never_in_compat() -> None:
    models = [Counting("a", literal)]
    assert "votes" not in QuestionJudge(models, reading="windows").signature()
    for votes in ("needed", "screened"):
        assert f",votes={votes}/1)" in QuestionJudge(models, reading="windows", votes=votes).signature()
        with pytest.raises(
            UserError, match=f"-J votes={votes}: reading=compat asks all votes; add -J reading=windows"
        ):
            QuestionJudge(models, votes=votes)
    with pytest.raises(UserError, match="did you mean 'needed'"):
        QuestionJudge(models, reading="windows", votes="neded")


def fanciful(name: str, text: str, asked: str) -> bool:
    """Say yes to what is named; the model m1 also sees a bench now and then, and the model m2 a car."""
    imagined = {"m1": "bench", "m2": "car"}.get(name)
    return literal(name, text, asked) or (
        imagined is not None and f" {imagined} " in asked and Random(text + asked).random() < 0.4
    )


def test_a_screen_finds_what_its_votes_affirm_and_the_audit_counts_the_rest() -> None:
    texts = [f"a {name} on grass number {i}" for i in range(120) for name in ("dog", "cup")]
    whole, asked, _ = run(fanciful, "all", texts)
    missed = {}
    for screen in ("", "m1/1a,m1/1b,m1/2a", "m2/2a , m1/1a,m1/1b,m1/2a,m2/1a,m2/1b"):
        found, fewer, judge = run(fanciful, "screened", texts, screen=screen)
        rows = [*zip(verdicts(whole), verdicts(found), strict=True)]
        audited = {
            i for i in range(len(texts)) if is_audited(Response(sample_id=str(i), image_id=i, response="x"))
        }
        assert all(a == b for i, (a, b) in enumerate(rows) if i in audited)
        missed[screen] = {c for a, b in rows for c in a.keys() - b.keys()}
        assert all(a[c] == b[c] for a, b in rows for c in b)
        assert bool(judge.audit.differing) is bool(missed[screen])
        assert fewer < asked
        assert ("screen" in judge.settings()) is bool(screen)
    assert [*missed.values()] == [{"bench", "car"}, {"car"}, set()]
    assert judge.settings()["screen"] == "m1/1a+m1/1b+m1/2a+m2/1a+m2/1b+m2/2a"


def test_a_screen_of_all_votes_asks_what_is_needed() -> None:
    texts = [f"a {a} and a {b}" for a in CATEGORIES.split(",") for b in CATEGORIES.split(",")]
    ballots = ",".join(f"m{i}/{form}" for i in range(3) for form in ("1a", "1b", "2a"))
    needed, asked, _ = run(noisy, "needed", texts)
    screened, same, judge = run(noisy, "screened", texts, screen=ballots)
    assert (verdicts(screened), same) == (verdicts(needed), asked)
    assert judge.audit.differing == 0


def gullible(name: str, text: str, asked: str) -> bool:
    """Say yes to what is named; the model m1 says yes to everything about some texts."""
    return literal(name, text, asked) or (name == "m1" and Random(text).random() < 0.2)


def test_a_probe_finds_the_responses_that_a_judge_affirms_everything_about() -> None:
    texts = [f"a dog on grass number {i}" for i in range(150)]
    whole, _, _ = run(gullible, "all", texts)
    plain, _, _ = run(gullible, "screened", texts)
    everything, most, _ = run(gullible, "screened", texts, screen="m1/1b")
    found, fewer, judge = run(gullible, "screened", texts, screen="m1/1b", probes="1")
    assert verdicts(found) == verdicts(everything) == verdicts(whole) != verdicts(plain)
    assert fewer < most
    assert judge.audit.differing == 0
    assert judge.settings()["probes"] == "1"


def test_the_audit_counts_what_probes_leave_out() -> None:
    """The model m1 also sees a bench in one of two texts, which the probe, the car, does not show."""

    def imagines(name: str, text: str, asked: str) -> bool:
        return literal(name, text, asked) or (name == "m1" and " bench " in asked and len(text) % 2 == 0)

    texts = [f"a dog on grass number {i}" for i in range(150)]
    whole, _, _ = run(imagines, "all", texts)
    found, _, judge = run(imagines, "screened", texts, screen="m1/1a", probes=1)
    audited = [is_audited(Response(sample_id=str(i), image_id=i, response="x")) for i in range(len(texts))]
    differs = [a != b for a, b in zip(verdicts(whole), verdicts(found), strict=True)]
    assert not any(one for one, of_audit in zip(differs, audited, strict=True) if of_audit)
    wrong = sum(len(text) % 2 == 0 for text, of_audit in zip(texts, audited, strict=True) if of_audit)
    assert judge.audit.differing == wrong > 0
    assert any(differs)


def test_a_screen_names_votes_of_the_ensemble() -> None:
    models = [Counting("a", literal), Counting("b", literal)]
    with pytest.raises(UserError, match="-J screen=a/1c: unknown vote 'a/1c'; did you mean 'a/1"):
        QuestionJudge(models, reading="windows", votes="screened", screen="a/1c")
    with pytest.raises(UserError, match="is for votes=screened, and -J votes=needed"):
        QuestionJudge(models, reading="windows", votes="needed", screen="a/1a")
    for probes, message in (("0", "must be a whole number from 1"), ("x", "must be a whole number from 1")):
        with pytest.raises(UserError, match=f"-J probes={probes}: {message}"):
            QuestionJudge(models, reading="windows", votes="screened", screen="a/1a", probes=probes)
    with pytest.raises(UserError, match="-J probes=4: needs the votes that are asked"):
        QuestionJudge(models, reading="windows", votes="screened", probes=4)
