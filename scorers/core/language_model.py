"""The language model that a judge asks: text in, text out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one prompt: its `text`, or the `error` that prevented it."""

    text: str | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class YesNoOdds:
    """How much likelier a reply begins with yes than with no: log P(yes) - log P(no), or the `error` instead."""

    log_odds: float | None
    error: str | None = None


AnswerRule: TypeAlias = Literal["exact", "words", "odds"]
"""How an answer to a yes/no question is read. `exact`: the whole reply is `yes`, as THRONE's models were trained to
answer. `words`: its first word is yes or no. `odds`: the odds of the two words as its first token."""


class LanguageModel(Protocol):
    """A text-only model. It may run in this process or behind an endpoint.

    Decoding is greedy, so that a reply depends on its prompt alone and not on its batch.
    """

    name: str
    """Short, and different from the names of the other models of an ensemble: it names the model's votes."""

    def signature(self) -> str:
        """Return the model's part of the score's signature: its name, and a hash of its weights if they are local.

        Loads no weights.
        """
        ...

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        """Return one reply for each prompt, in order.

        A backend that can constrain its output to a JSON `schema` does so. Any other replies freely.
        """
        ...


@runtime_checkable
class StoppingLanguageModel(LanguageModel, Protocol):
    """A language model that can end a reply as soon as the rest of it cannot matter."""

    def reply_until(
        self, prompts: Sequence[str], decided: Callable[[str], bool], *, max_new_tokens: int
    ) -> list[Reply]:
        """Return one reply for each prompt, in order, as `reply` does.

        A reply may end after any token at which `decided` is true of the text so far. `decided` must then stay true
        for every longer text.
        """
        ...


@runtime_checkable
class AnsweringLanguageModel(LanguageModel, Protocol):
    """A language model that declares how its answers to yes/no questions are read. Without it they are read exactly."""

    @property
    def answer_rule(self) -> AnswerRule:
        """The rule that fits the model. Loads no weights."""
        ...


@runtime_checkable
class OddsLanguageModel(LanguageModel, Protocol):
    """A language model that can tell how likely yes and no are, so that every question has an answer."""

    def yes_no(self, prompts: Sequence[str]) -> list[YesNoOdds]:
        """Return the log-odds of yes against no as the first token of the reply to each prompt, in order."""
        ...


@runtime_checkable
class NarrowLanguageModel(Protocol):
    """A language model that may have been trained on the texts of one dataset alone."""

    @property
    def trained_on(self) -> str | None:
        """The name of that dataset, None if the model was trained on texts of all kinds. Loads no weights."""
        ...


def narrow_models(models: Sequence[LanguageModel]) -> dict[str, list[str]]:
    """Return the names of the models that know the texts of one dataset alone, by that dataset."""
    found: dict[str, list[str]] = {}
    for model in models:
        if isinstance(model, NarrowLanguageModel) and model.trained_on is not None:
            found.setdefault(model.trained_on, []).append(model.name)
    return found
