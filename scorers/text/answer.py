"""From the text that a model wrote to the text that is judged.

Reasoning is never part of an answer. The other rules belong to the treatment `clean`, which every reading uses that
does not follow a published program: characters, special tokens, echoed and made-up turns, markup. The raw text is kept,
and every change is an `Edit`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from eidolon.scorers.core.reasoning import reasoning_spans
from eidolon.scorers.core.types import Edit, FinishReason, Response
from eidolon.scorers.text.characters import plain_characters
from eidolon.scorers.text.draft import Draft
from eidolon.scorers.text.last_sentence import LastSentence, cut_last_sentence
from eidolon.scorers.text.markup import plain_markup
from eidolon.scorers.text.turns import cut_turns

Treatment: TypeAlias = Literal["clean", "raw"]

VERSION = 1
"""Version of the rules of `clean`. It is part of the signature."""
REASONING = "reasoning"


@dataclass(frozen=True, slots=True)
class TextRules:
    """How the text that is judged is made from a response."""

    treatment: Treatment = "clean"
    last_sentence: LastSentence = "keep"

    @property
    def version(self) -> int | None:
        """The version of the rules of `clean`; None if they are not used."""
        return VERSION if self.treatment == "clean" else None

    def signature(self) -> str | None:
        """Return the rules as a part of the score's signature; None if only reasoning is left out."""
        return describe_rules(self.version, self.last_sentence)


def describe_rules(version: int | None, last_sentence: LastSentence) -> str | None:
    """Return the signature of rules of any version; None where only reasoning is left out."""
    parts = [] if version is None else [f"clean/{version}"]
    if last_sentence != "keep":
        parts.append(f"last-sentence={last_sentence}")
    return ",".join(parts) or None


RAW = TextRules("raw")
"""Only reasoning is left out."""


def edits_of(response: Response, rules: TextRules) -> tuple[Edit, ...]:
    """Return the edits that turn a response into the text that is judged; none for a response that failed."""
    if response.response is None:
        return ()
    return text_edits(response.response, rules, response.prompt, response.finish_reason)


def text_edits(
    text: str, rules: TextRules, prompt: str | None = None, finish: FinishReason = "unknown"
) -> tuple[Edit, ...]:
    """Return the edits for a text; `prompt` is what the model was asked, if it is known."""
    return _draft(text, rules, prompt, finish).edits()


@lru_cache(maxsize=4096)
def answer_text(text: str, *, clean: bool = True) -> str:
    """Return the answer of a text: without reasoning and, if `clean`, without markup and made-up turns.

    A text that is not changed keeps the white space around it, which some programs read.
    """
    answer = _draft(text, TextRules("clean" if clean else "raw"), None, "unknown").text
    return text if answer == text else answer.strip()


def _draft(text: str, rules: TextRules, prompt: str | None, finish: FinishReason) -> Draft:
    draft = Draft(text)
    draft.replace([(start, end, "") for start, end in reasoning_spans(text)], REASONING)
    if rules.treatment == "clean":
        plain_characters(draft)
        cut_turns(draft, prompt)
        plain_markup(draft)
    cut_last_sentence(draft, rules.last_sentence, finish)
    return draft
