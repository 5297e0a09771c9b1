"""The samples of a run for the page, one at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from eidolon.benchmark.report.view.records import SampleDetail
from eidolon.benchmark.store.files import JUDGEMENTS, QUESTIONS, RESPONSES, SAMPLES
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

    def names(self) -> frozenset[str]:
        """Return all categories that are named or true."""
        mentions = self.judgement.mentions if self.judgement else ()
        return self.truth | self.named("hallucinated") | {mention.category for mention in mentions}

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


def shown_samples(run: LoadedRun) -> Iterator[ViewedSample]:
    """Yield the responses of a run in its order. The judgements of an unfinished run may end earlier.

    One response is in memory at a time, as long as the files of the run have the same order, as they do.

    Raises:
        RunFileError: a file cannot be read.
    """
    policy = main_policy(run) if run.has(ANSWERS) else ""
    with (
        run.keyed(SAMPLES, SampleRow, lambda row: row.sample_id) as samples,
        run.keyed(JUDGEMENTS, Judgement, lambda one: (one.sample_id, one.generation)) as judgements,
        run.keyed(QUESTIONS, QuestionRow, lambda row: row.question_id) as questions,
        run.keyed(ANSWERS, AnswerRow, lambda row: row.sample_id) as answers,
    ):
        for response in run.stream(RESPONSES, Response):
            answer = answers.get(response.sample_id)
            parsed = {} if answer is None else answer.parsed
            yield ViewedSample(
                response=response,
                judgement=judgements.get((response.sample_id, response.generation)),
                sample=samples.get(response.sample_id),
                question=questions.get(response.sample_id),
                answer=answer,
                read=parsed.get(policy, next(iter(parsed.values()), None)),
            )


def with_risks(shown: Iterable[ViewedSample]) -> Iterator[ViewedSample]:
    """Yield the samples with the risk, without a history, of each mention that no truth decides."""
    from eidolon.scorers.risk.model_file import load_risk_model
    from eidolon.scorers.risk.shading import open_risks

    model = load_risk_model()
    for one in shown:
        judgement = one.judgement
        yield one if judgement is None else replace(one, risks=open_risks(model, one.response, judgement))


def excerpt(one: ViewedSample, text: str) -> str:
    """Return the text of a response in the list: with its question, or why there is no text."""
    if one.question is not None:
        text = f"{one.question.text} {text}"
    elif not text:
        text = one.response.error or (one.judgement.unscored if one.judgement else None) or ""
    return " ".join(text[: 2 * EXCERPT].split())[:EXCERPT]


def states(one: ViewedSample, text: str) -> Iterator[str]:
    """Yield the letters of `Index.states`."""
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
