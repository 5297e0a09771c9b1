"""The samples of a run for the page: the index of the list, and the details of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from eidolon.benchmark.report.view.records import Index, SampleDetail
from eidolon.benchmark.store.files import QUESTIONS
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.readings import main_policy
from eidolon.benchmark.tasks.rows import ANSWERS, AnswerRow, QuestionRow, YesNo
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.subsets import EARLY, LATE
from eidolon.scorers.text.yes_no import strict

EXCERPT = 90
"""Characters of a response in the list."""


@dataclass(frozen=True, slots=True)
class ViewedSample:
    """One response with everything that the folder says about it."""

    response: Response
    judgement: Judgement | None
    sample: SampleRow | None
    question: QuestionRow | None
    answer: AnswerRow | None
    read: YesNo | None = None
    """What the main policy reads in an answer."""
    risks: tuple[float | None, ...] | None = None
    """The risk of each mention that no truth decides."""

    @property
    def asked(self) -> str | None:
        """What an answer is about: the category of its question, or its dimension; None for no answer."""
        if self.question is not None:
            return self.question.category
        return None if self.answer is None else self.answer.dimension or "yes"

    @property
    def scored(self) -> bool:
        """Whether the response is part of the scores."""
        if self.judgement is None:
            return self.answer is not None
        return self.judgement.unscored is None and self.response.response is not None

    @property
    def truth(self) -> frozenset[str]:
        """The true objects; for a question the one that it asks about, if it is there."""
        if self.question is not None:
            return frozenset([self.question.category] if self.question.label == "yes" else [])
        if self.answer is not None:
            return frozenset([self.asked or ""] if self.answer.truth == "yes" else [])
        return frozenset(self.sample.objects if self.sample else ())

    def named(self, verdict: str) -> set[str]:
        """Return the categories of the mentions with a verdict."""
        if self.judgement is None and self.answer is not None and self.read == "yes":
            right = "grounded" if self.answer.truth == "yes" else "hallucinated"
            return {self.asked or ""} if verdict == right else set()
        mentions = self.judgement.mentions if self.judgement else ()
        return {mention.category for mention in mentions if mention.verdict == verdict}

    def missed(self) -> set[str]:
        """Return the true objects that a scored response does not name. Undecided ones are not among them."""
        if not self.scored:
            return set()
        return set(self.truth - self.named("grounded") - self.named("ignored"))

    def detail(
        self, picture: str | None, boxes: Mapping[str, Sequence[tuple[float, float, float, float]]]
    ) -> SampleDetail:
        """Return the record of the page. Offsets and probabilities of tokens are left out: they are long."""
        response = self.response.model_copy(update={"token_ends": None, "token_logprobs": None})
        return SampleDetail(
            sample=self.sample,
            response=response,
            judgement=self.judgement,
            question=self.question,
            answer=self.answer,
            boxes={name: tuple(found) for name, found in boxes.items()},
            picture=picture,
            risks=self.risks,
        )


def shown_samples(run: LoadedRun) -> list[ViewedSample]:
    """Return the responses of a run in its order. The judgements of an unfinished run may end earlier.

    Raises:
        RunFileError: a file cannot be read.
    """
    rows = {row.sample_id: row for row in run.samples()}
    judged = {(one.sample_id, one.generation): one for one in run.judgements()}
    questions = (
        {row.question_id: row for row in run.lines(QUESTIONS, QuestionRow)} if run.has(QUESTIONS) else {}
    )
    answers = {row.sample_id: row for row in run.lines(ANSWERS, AnswerRow)} if run.has(ANSWERS) else {}
    policy = main_policy(run) if answers else ""

    def read(sample_id: str) -> YesNo | None:
        parsed = answers[sample_id].parsed if sample_id in answers else {}
        return parsed.get(policy, next(iter(parsed.values()), None))

    return [
        ViewedSample(
            response=response,
            judgement=judged.get((response.sample_id, response.generation)),
            sample=rows.get(response.sample_id),
            question=questions.get(response.sample_id),
            answer=answers.get(response.sample_id),
            read=read(response.sample_id),
        )
        for response in run.responses()
    ]


def with_risks(shown: Sequence[ViewedSample]) -> list[ViewedSample]:
    """Return the samples with the risk, without a history, of each mention that no truth decides."""
    from eidolon.scorers.risk.model_file import load_risk_model
    from eidolon.scorers.risk.shading import open_risks

    model = load_risk_model()
    return [
        one if one.judgement is None else replace(one, risks=open_risks(model, one.response, one.judgement))
        for one in shown
    ]


def category_names(shown: Sequence[ViewedSample]) -> tuple[str, ...]:
    """Return all categories that are named or true, sorted."""
    names: set[str] = set()
    for one in shown:
        names |= (
            one.truth
            | one.named("hallucinated")
            | {mention.category for mention in (one.judgement.mentions if one.judgement else ())}
        )
    return tuple(sorted(names))


def make_index(shown: Sequence[ViewedSample], categories: Sequence[str]) -> Index:
    """Return the columns of the list."""
    number = {name: i for i, name in enumerate(categories)}
    index = Index()
    for one in shown:
        text = one.response.response or ""
        index.sample_ids.append(one.response.sample_id)
        index.generations.append(one.response.generation)
        index.image_ids.append(str(one.response.image_id))
        index.excerpts.append(_excerpt(one, text))
        index.words.append(len(text.split()))
        index.states.append("".join(_states(one, text)))
        index.splits.append(one.question.split if one.question else "")
        grounded, hallucinated = (one.named(verdict) for verdict in ("grounded", "hallucinated"))
        for column, names in (
            (index.there, grounded),
            (index.absent, hallucinated),
            (index.missed, one.missed()),
        ):
            column.append(sorted(number[name] for name in names))
    return index


def _excerpt(one: ViewedSample, text: str) -> str:
    if one.question is not None:
        text = f"{one.question.text} {text}"
    elif not text:
        text = one.response.error or (one.judgement.unscored if one.judgement else None) or ""
    return " ".join(text[: 2 * EXCERPT].split())[:EXCERPT]


def _states(one: ViewedSample, text: str) -> Iterator[str]:
    if not one.scored:
        yield "u"
    if disagree(one.judgement):
        yield "d"
    if one.response.finish_reason == "length":
        yield "t"
    if one.response.response is not None and not text.strip():
        yield "e"
    if one.asked is not None and strict(text) is None:
        yield "p"
    places = {
        _place(m.word)
        for m in (one.judgement.mentions if one.judgement else ())
        if m.verdict == "hallucinated"
    }
    yield from sorted(places)


def _place(word: int) -> str:
    return "1" if word < EARLY[1] else "3" if word >= LATE[0] else "2"


def disagree(judgement: Judgement | None) -> bool:
    """Return whether the votes on some category are not all the same, or a mention is undecided."""
    if judgement is None:
        return False
    votes = [*(judgement.votes or {}).values(), *(mention.votes or {} for mention in judgement.mentions)]
    return any(m.verdict == "ignored" for m in judgement.mentions) or any(
        len({*v.values()}) > 1 for v in votes
    )
