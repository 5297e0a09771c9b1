"""Traces one text: the probabilities of the model at every token, with and without the image."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from eidolon.benchmark.report.trace.records import TokenAlternative, Trace, TracedMention, TracedToken
from eidolon.benchmark.tasks.forget.dependency.series import (
    Spelled,
    from_tokens,
    judge_text,
    kinds_of,
    require_probabilities,
    spell,
)
from eidolon.models.base.contrast import Without
from eidolon.models.base.model import Decoding, Request
from eidolon.models.generation.token_log import token_log
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Judgement

if TYPE_CHECKING:
    from eidolon.models.base.model import Model, WhiteBoxModel
    from eidolon.models.probing.dependency import Alternatives, PromptDependency

CONTROL: Without = "neutral"
"""The form with which a model that ignores its image has a PDM of 0. The others are compared with it."""
TOP = 5
"""Number of alternatives at each token."""
MOST_FINISHED = 12
"""The alternatives of the first hallucinated mentions are completed to whole names, for at most so many mentions."""


def trace(
    model: "Model",
    name: str,
    request: Request,
    judge: Judge,
    *,
    text: str | None = None,
    objects: Collection[str] | None = None,
    without: Without = "neutral",
    image: str = "",
    seed: int | None = None,
) -> Trace:
    """Return the trace of a text, or of the model's answer.

    Args:
        model: A model that gives the probabilities of tokens.
        name: Its name, for the trace and messages.
        request: Image, prompt and decoding.
        judge: Finds the mentions.
        text: The text to trace; None for the answer of the model.
        objects: What is in the image, if known. Without it, mentions have no verdicts.
        without: How the image is taken away.
        image: Name of the image, for the trace.
        seed: The seed as the user gave it, from which that of the request was made. The trace records it.

    Raises:
        UserError: the model does not give probabilities or does not support `without`, its answer is an error, or the
            text has no tokens.
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
    beside = None if without == CONTROL else CONTROL
    (reading,) = read_dependency(white_box, [request], [spelled.tokens], form=without, beside=beside, top=TOP)
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
        raise UserError(f"--model {name}: gave no answer: {response.error}")
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
        control=fmean(reading.forms_apart) if reading.forms_apart else None,
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


def _alternatives(model: "WhiteBoxModel", found: "Alternatives") -> tuple[TokenAlternative, ...]:
    return tuple(
        TokenAlternative(text=str(model.tokenizer.decode([token])), probability=likely)
        for token, likely in found
    )


def _instead(
    model: "WhiteBoxModel",
    request: Request,
    reading: "PromptDependency",
    at: int,
    without: Without,
    *,
    finish: bool,
) -> dict[str, TokenAlternative | None]:
    """Return the alternatives of a mention that starts at a token, as whole names with `finish`."""
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
        name: None if one is None else TokenAlternative(text=_name(model, texts[name]), probability=one[1])
        for name, one in found.items()
    }


def _name(model: "WhiteBoxModel", tokens: Sequence[int]) -> str:
    """Return the name that starts at the first token: all up to the next function word or punctuation."""
    spelled = from_tokens(model, tokens)
    kinds = kinds_of(spelled, ())
    end = next((i for i, kind in enumerate(kinds) if i and kind == "function"), len(kinds))
    return str(model.tokenizer.decode(tokens[: max(1, end)], skip_special_tokens=len(tokens) > 1))


def _pieces(spelled: Spelled) -> list[str]:
    """Return the text of each token. Joined they are the whole text."""
    starts = (0, *spelled.ends)
    return [spelled.text[start:end] for start, end in zip(starts, spelled.ends, strict=False)]
