"""How well sentences cover a phrase, from 0 to 5: by a language model, or by the words that they share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.text.content_words import alike
from eidolon.scorers.text.english import FUNCTION_WORDS, PREPOSITIONS
from eidolon.scorers.text.tagged import stem, words_of

TOP = 5
"""The best rating."""
MAX_NEW_TOKENS = 16
RULE = "1"
"""Version of the rule and of the wording of the questions, for signatures."""
QUESTION = (
    "You compare a text with a phrase. Give a whole number from 0 to 5 for how far the text says what the phrase says: "
    "0 if it says nothing of it, 5 if it says all of it. Reply with the number alone.\n\n"
    "Text: {text}\nPhrase: {phrase}\nNumber:"
)
RELATION_QUESTION = (
    "You compare a text with a relation of two things. Give a whole number from 0 to 5 for how correctly the text "
    "describes that relation: 0 if it does not, 5 if it does. Reply with the number alone.\n\n"
    "Text: {text}\nRelation: {phrase}\nNumber:"
)

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Asked:
    """A phrase, and the sentences that may say it; empty where the caption has none."""

    phrase: str
    text: str


class PhraseRater(Protocol):
    """Rates how far sentences say a phrase."""

    def signature(self) -> str:
        """Return the method, for the score's signature."""
        ...

    def rate(self, asked: Sequence[Asked], *, relations: bool) -> list[float | None]:
        """Return a rating from 0 to 5 for each phrase, in order; None where a reply has none.

        A phrase without sentences has 0.
        """
        ...


class SharedWords:
    """The share of a phrase's words that the sentences hold, by stem or as a similar word, times 5.

    Function words other than prepositions do not count. This is our own instrument.
    """

    def signature(self) -> str:
        """Return the rule with its version."""
        return f"shared-words/{RULE}"

    def rate(self, asked: Sequence[Asked], *, relations: bool) -> list[float | None]:
        """Return the ratings."""
        return [self._rate(one) for one in asked]

    def _rate(self, asked: Asked) -> float:
        wanted = [
            word for word in words_of(asked.phrase) if word not in FUNCTION_WORDS or word in PREPOSITIONS
        ]
        there = {stem(word) for word in words_of(asked.text)}
        groups = alike(there)
        found = sum(stem(word) in there or bool(alike([stem(word)]) & groups) for word in wanted)
        return TOP * found / len(wanted) if wanted and asked.text else 0.0


class ModelRatings:
    """A language model's number. With `compat`, it is the first number of the reply, and -1 without any.

    Otherwise a reply without a number, or with one above 5, is no rating.
    """

    def __init__(self, model: LanguageModel, *, compat: bool = True) -> None:
        self._model, self._compat = model, compat

    def signature(self) -> str:
        """Return the model, with the version of the questions."""
        return f"lm/{RULE}:{self._model.signature()}"

    def rate(self, asked: Sequence[Asked], *, relations: bool) -> list[float | None]:
        """Return the ratings. A failed request gives none."""
        question = RELATION_QUESTION if relations else QUESTION
        places = [i for i, one in enumerate(asked) if one.text]
        prompts = [question.format(text=asked[i].text, phrase=asked[i].phrase) for i in places]
        replies = self._model.reply(prompts, max_new_tokens=MAX_NEW_TOKENS) if prompts else []
        ratings: list[float | None] = [0.0] * len(asked)
        for i, reply in zip(places, replies, strict=True):
            ratings[i] = None if reply.error is not None else self.read(reply.text or "")
        return ratings

    def read(self, reply: str) -> float | None:
        """Return the rating that a reply gives."""
        found = _NUMBER.search(reply)
        if self._compat:
            return float(found[0]) if found else -1.0
        return float(found[0]) if found and int(found[0]) <= TOP else None
