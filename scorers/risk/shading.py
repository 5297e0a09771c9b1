"""Risks of the mentions that no truth decides: what a page shades."""

from collections.abc import Sequence

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.risk.model_file import RiskModel

DIGITS = 6
"""Decimals of a risk that is written to a file."""


def mention_risks(
    model: RiskModel, response: Response, judgement: Judgement, history: FloatArray | None = None
) -> tuple[float, ...]:
    """Return the risk of each mention of a judgement. Later mentions of a category have that of the first.

    Raises:
        KeyError: a mention is of a category that the model does not know.
    """
    one = model.describe(response, judgement)
    found = dict(zip(one.categories.tolist(), model.risk(one, history).tolist(), strict=True))
    number = {name: i for i, name in enumerate(model.vocabulary)}
    return tuple(round(found[number[mention.category]], DIGITS) for mention in judgement.mentions)


def undecided(mention: Mention) -> bool:
    """Return whether no truth decides a mention."""
    return mention.verdict not in ("grounded", "hallucinated")


def open_risks(model: RiskModel, response: Response, judgement: Judgement) -> tuple[float | None, ...] | None:
    """Return the risk of each mention that no truth decides, and None for each of the others.

    None alone if truth decides all. Also if the model does not know a category of the response: the risk of a mention
    depends on what was named before.
    """
    mentions: Sequence[Mention] = judgement.mentions
    if not any(undecided(one) for one in mentions) or model.unknown([one.category for one in mentions]):
        return None
    risks = mention_risks(model, response, judgement)
    return tuple(risk if undecided(one) else None for one, risk in zip(mentions, risks, strict=True))
