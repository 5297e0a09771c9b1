"""A matcher that asks a language model whether reference captions support a noun: yes, no or unsure.

The protocol is that of OpenCHAIR (Ben-Kish et al., 2024). The wording of the question is our own.
"""

import re
from collections.abc import Sequence

from eidolon.scorers.core.judge import Evidence, VerdictSource
from eidolon.scorers.core.language_model import LanguageModel, Reply
from eidolon.scorers.core.types import Judgement, Mention, Verdict

MAX_NEW_TOKENS = 8
QUESTION = (
    "Several people described the same image:\n{references}\n\n"
    'Going by these descriptions, does the image show this object: "{noun}"? '
    "Answer with one word: yes, no, or unsure if the descriptions leave it open."
)
VERDICTS: dict[str, Verdict] = {"yes": "grounded", "no": "hallucinated", "unsure": "ignored"}

_FIRST = re.compile(r"\W*(\w+)")


class LanguageModelMatcher:
    """Asks one language model once about each noun of a response.

    Yes is grounded, no is hallucinated, unsure is ignored. The true objects are not used. If there is no answer about
    a noun, the response is unscored with the reason.
    """

    verdicts_from: VerdictSource = "language_model"

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def signature(self) -> str:
        """Return the model."""
        return f"lm:{self._model.signature()}"

    def match(self, judgements: Sequence[Judgement], evidence: Sequence[Evidence]) -> list[Judgement]:
        """Return the judgements with verdicts."""
        asked = [
            (index, noun)
            for index, judgement in enumerate(judgements)
            for noun in dict.fromkeys(m.category for m in judgement.mentions if m.verdict != "ignored")
        ]
        prompts = [question(noun, evidence[index].references) for index, noun in asked]
        replies = self._model.reply(prompts, max_new_tokens=MAX_NEW_TOKENS) if prompts else []
        answers: list[dict[str, Verdict]] = [{} for _ in judgements]
        failures: dict[int, str] = {}
        for (index, noun), reply in zip(asked, replies, strict=True):
            verdict = read_answer(reply)
            if verdict is None:
                failures.setdefault(index, f"{self._model.name} on {noun!r}: {_why(reply)}")
            else:
                answers[index][noun] = verdict
        return [
            j.model_copy(update={"mentions": (), "unscored": failures[i]})
            if i in failures
            else j.model_copy(update={"mentions": tuple(_decide(m, answers[i]) for m in j.mentions)})
            for i, j in enumerate(judgements)
        ]


def question(noun: str, references: Sequence[str]) -> str:
    """Return the prompt for one noun."""
    listed = "\n".join("- " + " ".join(text.split()) for text in references)
    return QUESTION.format(references=listed, noun=noun)


def read_answer(reply: Reply) -> Verdict | None:
    """Return the verdict from the first word of the reply, None if it is no answer."""
    first = _FIRST.match(reply.text or "") if reply.error is None else None
    return VERDICTS.get(first[1].lower()) if first else None


def _decide(mention: Mention, answers: dict[str, Verdict]) -> Mention:
    if mention.verdict == "ignored":
        return mention
    return mention.model_copy(update={"verdict": answers[mention.category]})


def _why(reply: Reply) -> str:
    if reply.error is not None:
        return reply.error
    return f"neither yes, no nor unsure: {' '.join((reply.text or '').split())[:60]!r}"
