"""The judge `rating`: a language model rates an answer about an image from a true answer, without the image.

The protocol is that of MMHal-Bench (Sun et al. 2023, arXiv 2309.14525): ratings from 0 to 6, where 0 to 2 say that
the answer hallucinates. The wording is our own, so the numbers are not those of the released program's prompt.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import describe_judge
from eidolon.scorers.core.language_model import LanguageModel, Reply
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.mentions import judged, why_missing
from eidolon.scorers.judges.rating_probes import PROBES
from eidolon.scorers.judges.vote_rules import UNFIT_BELOW, balanced_accuracy
from eidolon.scorers.text.rating import rating_by_words

WORDING = "1"
"""Version of the prompt, for signatures."""
BATCH = 8
"""Answers in one call of the model, and in one batch of `judgements.jsonl`."""
MAX_NEW_TOKENS = 512
HALLUCINATES_BELOW = 3
"""Ratings below it say that the answer hallucinates (Sun et al. 2023)."""
PROMPT = """\
Check an answer that a program gave to a question about a picture. You cannot see the picture. You know some of what \
it shows, and a correct answer that a person wrote.

The answer hallucinates if it claims something about the picture that the correct answer or the list contradicts, or \
that has no basis in them: a thing, a number, a colour, a place, an action, a text. It does not hallucinate because it \
is short or incomplete, because it says that something cannot be known, or because it adds reasoning that follows from \
what is true. The correct answer and the list do not name everything in the picture.

The picture shows: {contents}
Question: {question}
Correct answer: {truth}
Answer to check: {answer}

Write one or two sentences about what is right and wrong in the answer. Then write the word Rating, a colon and one \
number on a line of its own:
6 if it is very informative, reasons well, and does not hallucinate
5 if it is very informative and does not hallucinate
4 if it is somewhat informative and does not hallucinate
3 if it is not informative and does not hallucinate
2 if it is very informative but hallucinates
1 if it is somewhat informative but hallucinates
0 if it is not informative and hallucinates
"""


@dataclass(frozen=True, slots=True)
class RatedQuestion:
    """A question about an image, with what the judge is told about the image."""

    text: str
    truth: str
    """A correct answer."""
    contents: tuple[str, ...] = ()
    """Names of some things that the image shows."""

    def prompt(self, answer: str) -> str:
        """Return what the model is asked about an answer."""
        contents = ", ".join(self.contents) or "(no list)"
        return PROMPT.format(contents=contents, question=self.text, truth=self.truth, answer=answer)


class RatingJudge:
    """Has one language model rate the answers. A judgement holds the model's reply, and no mentions.

    Before the first answer the model rates the built-in ones of `rating_probes`.
    """

    name = "rating"
    reads_raw_text = True
    vocabulary: tuple[str, ...] = ()
    batch: ClassVar[int] = BATCH

    def __init__(self, models: Sequence[LanguageModel], questions: Mapping[str, RatedQuestion]) -> None:
        """Take the model, and the questions by sample id.

        Raises:
            UserError: there is not exactly one model.
        """
        if len(models) != 1:
            raise UserError(f"-J models: one language model rates the answers, found {len(models)}")
        (self._model,) = models
        self._questions = questions
        self.accuracy: float | None = None
        """Balanced accuracy on the built-in answers, None before they were rated."""

    def signature(self) -> str:
        """Return the model and the version of the wording, as the judge's part of the score's signature."""
        return describe_judge(self.name, {"model": self._model.signature(), "wording": WORDING})

    def weaknesses(self) -> tuple[str, ...]:
        """Return why the model is unfit to judge, if it was tested and is."""
        if self.accuracy is None or self.accuracy >= UNFIT_BELOW:
            return ()
        return (
            f"judge {self._model.name} is unfit: whether {len(PROBES)} built-in answers hallucinate it says with a "
            f"balanced accuracy of {self.accuracy:.2f}, and guessing has 0.5; its scores have no headline",
        )

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement with the reply for each response, in order.

        A response that failed is unscored, and so is one about which the model fails.
        """
        rest = iter(responses)
        while batch := list(islice(rest, BATCH)):
            texts = {i: r.response for i, r in enumerate(batch) if r.response is not None and r.error is None}
            prompts = [self._questions[batch[i].sample_id].prompt(text) for i, text in texts.items()]
            if prompts and self.accuracy is None:
                self.accuracy = self._tested()
            found = dict(zip(texts, self._replies(prompts), strict=True))
            yield from (self._judgement(response, found.get(i)) for i, response in enumerate(batch))

    def _judgement(self, response: Response, reply: Reply | None) -> Judgement:
        if reply is None:
            return judged(response, unscored=why_missing(response))
        if reply.text is None:
            return judged(response, unscored=f"{self._model.name}: {reply.error or 'no reply'}")
        return judged(response).model_copy(update={"reply": reply.text})

    def _tested(self) -> float:
        prompts = [RatedQuestion(p.question, p.truth, p.contents).prompt(p.answer) for p in PROBES]
        ratings = [
            None if reply.text is None else rating_by_words(reply.text) for reply in self._replies(prompts)
        ]
        decided = [None if rating is None else rating < HALLUCINATES_BELOW for rating in ratings]
        return balanced_accuracy(decided, [probe.hallucinates for probe in PROBES])

    def _replies(self, prompts: Sequence[str]) -> list[Reply]:
        return self._model.reply(prompts, max_new_tokens=MAX_NEW_TOKENS) if prompts else []


class SavedReplies:
    """The replies of a judge that a file holds, by sample id."""

    name = "file"
    reads_raw_text = True
    vocabulary: tuple[str, ...] = ()

    def __init__(self, source: str, replies: Mapping[str, str]) -> None:
        """Take `name#hash` of the file, and the replies."""
        self._source, self._replies = source, replies

    def signature(self) -> str:
        """Return the file."""
        return f"{self.name}({self._source})"

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement with the reply for each response, in order."""
        return (
            judged(response).model_copy(update={"reply": self._replies[response.sample_id]})
            for response in responses
        )
