"""One text under the microscope: what the model expected at every token, with the picture and without it."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from eidolon.benchmark.tasks.forget.dependency.series import (
    Spelled,
    from_tokens,
    judge_text,
    kinds_of,
    require_probabilities,
    spell,
)
from eidolon.benchmark.terminal.safe_text import safe_text
from eidolon.models.base.contrast import Without
from eidolon.models.base.model import Decoding, Request
from eidolon.models.generation.token_log import token_log
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Judgement, Record, Verdict
from eidolon.scorers.forgetting.token_kinds import Kind

if TYPE_CHECKING:
    from eidolon.models.base.model import Model, WhiteBoxModel
    from eidolon.models.probing.dependency import Alternatives, PromptDependency

SCHEMA: Literal["eidolon/trace/1"] = "eidolon/trace/1"
TOP = 5
"""Alternatives at each token."""
MOST_FINISHED = 12
"""Mentions of what is not there whose alternatives are finished to whole names."""


class Alternative(Record):
    """A token that could have stood there."""

    text: str
    probability: float


class TracedToken(Record):
    """One token of the text."""

    text: str
    seen: float
    """Its probability with the picture, …"""
    blind: float
    """… and without."""
    pdm: float
    """Hellinger distance between all that is expected with the picture and without, 0 to 1."""
    kind: Kind
    mention: int | None
    """Index of the mention that it is part of."""
    likely_seen: tuple[Alternative, ...]
    likely_blind: tuple[Alternative, ...]
    leaning: tuple[Alternative, ...]
    """What the picture speaks for: likeliest by contrastive decoding, with the probabilities of the plain one."""


class TracedMention(Record):
    """An object that the text names."""

    category: str
    text: str
    verdict: Verdict | None
    token: int
    """The token with which the name begins; PDM and alternatives are those of it."""
    tokens: int
    seen: float
    """Probability of the whole name with the picture, …"""
    blind: float
    """… and without."""
    pdm: float
    runner_up: Alternative | None
    """What could have been said with the picture: the likeliest other beginning, …"""
    if_blind: Alternative
    """… without the picture: the likeliest, which may be what was said, …"""
    by_picture: Alternative
    """… and what the picture speaks for. The probabilities are those of the first token. Where the mention is not in
    the picture these are whole names, as the model goes on with them, else single tokens."""


class Trace(Record):
    """The content of `trace.json`. All text is the model's own, not yet made harmless."""

    schema_: Literal["eidolon/trace/1"] = Field(default=SCHEMA, alias="schema")
    model: str
    image: str
    prompt: str
    generated: bool
    """Whether the model wrote the text now; else it was given."""
    decoding: str | None
    without: Without
    objects: tuple[str, ...] | None
    """What is in the picture, where that is known."""
    judge: str
    text: str
    tokens: tuple[TracedToken, ...]
    mentions: tuple[TracedMention, ...]
    unjudged: str | None = None
    """Why the judge could not read the text."""

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def trace(
    model: "Model",
    name: str,
    request: Request,
    judge: Judge,
    *,
    text: str | None = None,
    objects: Collection[str] | None = None,
    without: Without = "dropped",
    image: str = "",
    seed: int | None = None,
) -> Trace:
    """Read a text, or what the model answers, with the picture and without.

    `seed` is what the user gave, of which the request's own was made; it stands in the trace.

    Raises:
        UserError: a model without token probabilities, one that cannot be asked without its picture in this form,
            an answer that is an error, and a text of no tokens.
    """
    from eidolon.models.probing.dependency import read_dependency
    from eidolon.models.probing.teacher_forcing import check_forcing, leading_space

    white_box = require_probabilities(model)
    check_forcing(white_box)
    given = text is not None
    spelled = (
        spell(white_box, text, leading_space(white_box, request))
        if text is not None
        else _answer(white_box, name, request)
    )
    if not spelled.tokens:
        raise UserError(f"{'--text' if given else f'--model {name}'}: the text to trace is empty")
    (reading,) = read_dependency(white_box, [request], [spelled.tokens], form=without, top=TOP)
    judgement = judge_text(judge, request, spelled, objects)
    return _assemble(
        white_box, spelled, reading, judgement, name=name, request=request, judge=judge, generated=not given,
        objects=None if objects is None else tuple(sorted(objects)), without=without, image=image,
        decoding=request.decoding if seed is None else replace(request.decoding, seed=seed),
    )  # fmt: skip


def _answer(model: "WhiteBoxModel", name: str, request: Request) -> Spelled:
    with token_log() as tokens:
        (response,) = model.generate([request])
    if response.error is not None:
        raise UserError(f"--model {name}: gave no answer to trace: {response.error}")
    noted = tokens.get((request.sample_id, request.generation))
    return from_tokens(model, noted) if noted is not None else spell(model, response.response or "")


def _assemble(
    model: "WhiteBoxModel",
    spelled: Spelled,
    reading: "PromptDependency",
    judgement: Judgement,
    *,
    name: str,
    request: Request,
    judge: Judge,
    generated: bool,
    objects: tuple[str, ...] | None,
    without: Without,
    image: str,
    decoding: Decoding,
) -> Trace:
    covered: dict[int, int] = {}
    traced: list[TracedMention] = []
    finished = 0
    for index, mention in enumerate(judgement.mentions):
        of = [
            token
            for token, (start, end) in enumerate(zip((0, *spelled.ends), spelled.ends, strict=False))
            if start < mention.end and end > mention.start
        ]
        for token in of:
            covered.setdefault(token, index)
        finish = mention.verdict == "hallucinated" and finished < MOST_FINISHED
        finished += finish
        traced.append(
            TracedMention(
                category=mention.category,
                text=mention.text,
                verdict=mention.verdict,
                token=of[0],
                tokens=len(of),
                seen=math.exp(sum(reading.seen[token] for token in of)),
                blind=math.exp(sum(reading.blind[token] for token in of)),
                pdm=reading.hellinger[of[0]],
                **_instead(model, request, reading, of[0], without, finish=finish),
            )
        )
    kinds = kinds_of(spelled, judgement.mentions)
    pieces = _pieces(spelled)

    return Trace(
        model=name,
        image=image,
        prompt=request.prompt,
        generated=generated,
        decoding=decoding.signature() if generated else None,
        without=without,
        objects=objects,
        judge=judge.signature(),
        text=spelled.text,
        tokens=tuple(
            TracedToken(
                text=pieces[i],
                seen=math.exp(reading.seen[i]),
                blind=math.exp(reading.blind[i]),
                pdm=reading.hellinger[i],
                kind=kinds[i],
                mention=covered.get(i),
                likely_seen=_alternatives(model, reading.top_seen[i]),
                likely_blind=_alternatives(model, reading.top_blind[i]),
                leaning=_alternatives(model, reading.top_contrast[i]),
            )
            for i in range(len(reading.tokens))
        ),
        mentions=tuple(traced),
        unjudged=judgement.unscored,
    )


def _alternatives(model: "WhiteBoxModel", found: "Alternatives") -> tuple[Alternative, ...]:
    return tuple(
        Alternative(text=str(model.tokenizer.decode([token])), probability=likely) for token, likely in found
    )


def _instead(
    model: "WhiteBoxModel",
    request: Request,
    reading: "PromptDependency",
    at: int,
    without: Without,
    *,
    finish: bool,
) -> dict[str, Alternative | None]:
    """Return the alternatives of a mention that begins at a token, as whole names if they are to be finished."""
    from eidolon.models.probing.dependency import continue_greedily

    said = reading.tokens[at]
    other = next((one for one in reading.top_seen[at] if one[0] != said), None)
    found = {
        "runner_up": other,
        "by_picture": reading.top_contrast[at][0],
        "if_blind": reading.top_blind[at][0],
    }
    texts = {name: [one[0]] for name, one in found.items() if one is not None}
    if finish:
        prefix = reading.tokens[:at]
        seen = [name for name in texts if name != "if_blind"]
        longer = continue_greedily(model, request, prefix, [texts[name][0] for name in seen])
        longer += continue_greedily(model, request, prefix, texts["if_blind"], form=without)
        texts = {name: list(tokens) for name, tokens in zip([*seen, "if_blind"], longer, strict=True)}
    return {
        name: None if one is None else Alternative(text=_name(model, texts[name]), probability=one[1])
        for name, one in found.items()
    }


def _name(model: "WhiteBoxModel", tokens: Sequence[int]) -> str:
    """Return the first token with what makes a name of it: all up to the next function word or punctuation."""
    spelled = from_tokens(model, tokens)
    kinds = kinds_of(spelled, ())
    end = next((i for i, kind in enumerate(kinds) if i and kind == "function"), len(kinds))
    return str(model.tokenizer.decode(tokens[: max(1, end)], skip_special_tokens=len(tokens) > 1))


def _pieces(spelled: Spelled) -> list[str]:
    """Return the text of each token; joined they are the answer."""
    starts = (0, *spelled.ends)
    return [spelled.text[start:end] for start, end in zip(starts, spelled.ends, strict=False)]


def shown(text: str) -> str:
    """Return a token's text harmless and visible: its line breaks as ⏎, an empty one as ∅."""
    return safe_text(text.replace("\r\n", "⏎").replace("\n", "⏎"), keep="") or "∅"


def quoted(alternative: Alternative) -> str:
    """Return a token with its probability, as tables have it."""
    return f"{shown(alternative.text.strip() or alternative.text)} {alternative.probability:.2f}"


def moment(mention: TracedMention) -> str:
    """Return in a sentence what happened where a mention begins."""
    place = {
        "hallucinated": ", which is not in the picture",
        "grounded": ", which is in the picture",
    }.get(mention.verdict or "", "")
    said = f"Token {mention.token + 1} names “{shown(mention.text)}”{place}: "
    said += f"probability {mention.seen:.2f} with the picture and {mention.blind:.2f} without, PDM {mention.pdm:.2f}."
    instead = [
        f"{label} “{shown(found.text.strip() or found.text)}” ({found.probability:.2f})"
        for label, found in (
            ("next likeliest with the picture", mention.runner_up),
            ("likeliest without", mention.if_blind),
            ("what the picture speaks for", mention.by_picture),
        )
        if found is not None
    ]
    told = "; ".join(instead)
    return f"{said} {told[:1].upper()}{told[1:]}."


def wrong(trace: Trace) -> list[TracedMention]:
    """Return the mentions of what is not in the picture."""
    return [mention for mention in trace.mentions if mention.verdict == "hallucinated"]
