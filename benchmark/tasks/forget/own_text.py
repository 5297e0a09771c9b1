"""The beginning of a model's own description, in whole sentences."""

from dataclasses import dataclass

from eidolon.models.base.model import ScoringModel

ENDS = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class OwnText:
    """The first sentences of a description."""

    text: str
    tokens: tuple[int, ...]


def own_beginning(model: ScoringModel, response: str | None, least: int) -> OwnText | str:
    """Return the shortest beginning of whole sentences with at least so many tokens, or why there is none."""
    if not response:
        return "no description"
    tokens = model.encode_reply(response)
    for end in range(least, len(tokens) + 1):
        text = model.decode_reply(tokens[:end])
        if text.endswith(ENDS):
            if not response.startswith(text):
                return "the model's tokenizer does not give the text back"
            return OwnText(text, tokens[:end])
    return "the description is shorter"
