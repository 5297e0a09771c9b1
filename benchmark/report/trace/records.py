"""The records of `trace.json`."""

from typing import Literal

from pydantic import Field

from eidolon.models.base.contrast import Without
from eidolon.scorers.core.types import Record, Verdict
from eidolon.scorers.forgetting.token_kinds import Kind

SCHEMA: Literal["eidolon/trace/1"] = "eidolon/trace/1"


class TokenAlternative(Record):
    """Another token, or name, that the model could have written."""

    text: str
    probability: float


class TracedToken(Record):
    """One token of the text."""

    text: str
    seen: float
    """Its probability with the image."""
    blind: float
    """Its probability without the image."""
    pdm: float
    """Hellinger distance, 0 to 1, between the distributions of the next token with and without the image."""
    kind: Kind
    mention: int | None
    """Index of the mention that it is part of, if any."""
    likely_seen: tuple[TokenAlternative, ...]
    """The likeliest tokens with the image."""
    likely_blind: tuple[TokenAlternative, ...]
    """The likeliest tokens without the image."""
    leaning: tuple[TokenAlternative, ...]
    """The tokens that the image favours most: the likeliest in contrastive decoding, with their probabilities with the
    image."""


class TracedMention(Record):
    """An object that the text names."""

    category: str
    text: str
    verdict: Verdict | None
    token: int
    """Index of the first token of the name."""
    tokens: int
    """Number of tokens of the name."""
    seen: float
    """Probability of the whole name with the image."""
    blind: float
    """Probability of the whole name without the image."""
    pdm: float
    """PDM of the first token."""
    runner_up: TokenAlternative | None
    """The likeliest other first token with the image.

    The probabilities of this and the other alternatives are those of the first token. The alternatives of a
    hallucination are completed to whole names by the model."""
    if_blind: TokenAlternative
    """The likeliest first token without the image. It may be the one in the text."""
    by_picture: TokenAlternative
    """The first token that the image favours most."""


class Trace(Record):
    """The content of `trace.json`. The text is as the model wrote it; escape it before showing it."""

    schema_: Literal["eidolon/trace/1"] = Field(default=SCHEMA, alias="schema")
    model: str
    image: str
    prompt: str
    generated: bool
    """Whether the model generated the text; else it was given."""
    decoding: str | None
    without: Without
    control: float | None = None
    """Mean PDM between `without` and a grey image, and neither shows the image: what the form alone changes. It
    is not a dependence on the image. Null for `neutral`, with which it is 0."""
    objects: tuple[str, ...] | None
    """The objects in the image, if known."""
    judge: str
    text: str
    tokens: tuple[TracedToken, ...]
    mentions: tuple[TracedMention, ...]
    unjudged: str | None = None
    """Why the judge could not read the text."""

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
