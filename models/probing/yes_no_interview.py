"""Questions put to a model of transformers after a text that stands in its own turn, answered by log-probabilities.

    user: picture, prompt · assistant: the given tokens · user: a question · assistant: yes or no?

All that the dialogues of an interview have in common is read once; each question then goes on from a copy of the
cache. Without given tokens, and where they stand before the picture, the question follows the prompt in the same turn.
A model without a chat template is given one line after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from eidolon.models.base.model import Interview, Odds, Request
from eidolon.models.probing.token_reader import Reader
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from eidolon.models.backends.transformers import TransformersModel

SPELLINGS = {
    True: ("Yes", "yes", "YES", " Yes", " yes", " YES"),
    False: ("No", "no", "NO", " No", " no", " NO"),
}
"""How an answer may begin; what the model gives to all of one kind counts together."""
READ_AT_ONCE = {
    "paligemma": "lets every token of a prompt see all others",
    "mllama": "masks its picture by the places of a prompt",
}
"""Kinds of models whose prompt cannot be lengthened, or read in two goes, without being another one; and why."""
_MARK = "QQMARKQQ"


def hold(model: "TransformersModel", interviews: Sequence[Interview]) -> list[list[Odds]]:
    """Return log p(yes) and log p(no) of every question of every interview.

    Raises:
        UserError: the model cannot be asked so.
    """
    found: dict[int, list[Odds]] = {}
    for ask in (_in_the_same_turn, _in_a_new_turn):
        rows = [i for i, one in enumerate(interviews) if _has_turn(one) == (ask is _in_a_new_turn)]
        if rows:
            found |= dict(zip(rows, ask(model, [interviews[i] for i in rows]), strict=True))
    return [found[i] for i in range(len(interviews))]


def _has_turn(interview: Interview) -> bool:
    return bool(interview.given) and not interview.before_picture


def check(model: "TransformersModel") -> None:
    """Raise a UserError for a model that cannot be interviewed."""
    from jinja2 import TemplateError

    from eidolon.models.probing import teacher_forcing

    teacher_forcing.check(model)
    kind = model.model.config.model_type
    if kind in READ_AT_ONCE:
        raise UserError(
            f"model {model.name!r}: {kind} {READ_AT_ONCE[kind]}; it cannot be asked in the midst of a text"
        )
    answer_ids(model)
    try:
        whole = bool(_rest(model, _MARK).count(_MARK) == 1)
        lead(model)
    except TemplateError as error:
        raise UserError(f"model {model.name!r}: its chat template has no second turn: {error}") from error
    if not whole:
        raise UserError(f"model {model.name!r}: its chat template does not give back what the assistant said")


def answer_ids(model: "TransformersModel") -> tuple[list[int], list[int]]:
    """Return the tokens with which yes, and with which no, begins: whole words where the vocabulary has them."""
    found: dict[bool, list[int]] = {}
    for answer, spellings in SPELLINGS.items():
        encoded = [encode(model, spelling) for spelling in spellings]
        whole = {ids[0] for ids in encoded if len(ids) == 1}
        found[answer] = sorted(whole or {ids[0] for ids in encoded if ids})
    shared = set(found[True]) & set(found[False])
    yes, no = (sorted(set(found[answer]) - shared) for answer in (True, False))
    if not yes or not no:
        raise UserError(
            f"model {model.name!r}: its tokenizer begins yes and no alike, so that they cannot be told"
        )
    return yes, no


def encode(model: "TransformersModel", text: str) -> list[int]:
    """Return the tokens of a text, without any that mark its beginning or end."""
    ids: list[int] = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def lead(model: "TransformersModel") -> str:
    """Return what the template puts between the beginning of the assistant's turn and its text: space, or nothing."""
    if not model.has_template:
        return " "
    begun = _render(model, [_user("a", picture=True)], True)
    whole = _render(model, [_user("a", picture=True), _assistant(_MARK)], False)
    before = whole.partition(_MARK)[0]
    between = before[len(begun) :] if before.startswith(begun) else ""
    return between if not between.strip() else ""


def _in_a_new_turn(model: "TransformersModel", interviews: Sequence[Interview]) -> list[list[Odds]]:
    inputs = model.prepare([interview.request for interview in interviews])
    edits = [Edit(insert=interview.given) for interview in interviews]
    rests = [[encode(model, _rest(model, question)) for question in one.questions] for one in interviews]
    return _answers(model, edit(inputs, edits, model.pad_id), rests)


def _in_the_same_turn(model: "TransformersModel", interviews: Sequence[Interview]) -> list[list[Odds]]:
    """Read what the dialogues of an interview have in common once, and the rest of each after it."""
    dialogues: list[list[list[int]]] = [[] for _ in interviews]
    inputs: Any = None
    for slot in range(max(len(interview.questions) for interview in interviews)):
        asked = [
            replace(one.request, prompt=f"{one.request.prompt} {_question(one, slot)}".strip())
            for one in interviews
        ]
        prepared = model.prepare(asked)
        if inputs is None:
            inputs, first = prepared, asked
        for dialogue, tokens in zip(dialogues, _rows(prepared), strict=True):
            dialogue.append(tokens)
    shared = [_common(dialogue) for dialogue in dialogues]
    starts = _picture_starts(model, first) if any(one.given for one in interviews) else [0] * len(interviews)
    edits = [
        Edit(insert=one.given, at=start, keep=keep)
        for one, start, keep in zip(interviews, starts, shared, strict=True)
    ]
    rests = [
        [dialogue[slot][keep:] for slot in range(len(one.questions))]
        for one, dialogue, keep in zip(interviews, dialogues, shared, strict=True)
    ]
    return _answers(model, edit(inputs, edits, model.pad_id), rests)


def _question(interview: Interview, slot: int) -> str:
    return interview.questions[min(slot, len(interview.questions) - 1)]


def _common(rows: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all rows begin with alike, short of the end of the shortest."""
    most = min(map(len, rows)) - 1
    return next((i for i in range(most) if len({row[i] for row in rows}) > 1), most)


def _picture_starts(model: "TransformersModel", requests: Sequence[Request]) -> list[int]:
    """Return where in each prompt the picture begins: where the same without a picture goes on otherwise."""
    starts = []
    rows = [_rows(model.prepare(requests, pictures=pictures)) for pictures in (True, False)]
    for seen, blind in zip(*rows, strict=True):
        longest = min(len(seen), len(blind))
        starts.append(next((i for i in range(longest) if seen[i] != blind[i]), longest))
    return starts


def _rows(prepared: Mapping[str, torch.Tensor]) -> list[list[int]]:
    """Return the tokens of each row without what pads them."""
    pairs = zip(prepared["input_ids"], prepared["attention_mask"], strict=True)
    return [ids[mask.bool()].tolist() for ids, mask in pairs]


def _answers(
    model: "TransformersModel", inputs: Mapping[str, Any], rests: Sequence[Sequence[Sequence[int]]]
) -> list[list[Odds]]:
    """Return the odds after each of several continuations of every prepared row."""
    yes, no = answer_ids(model)
    reader = Reader(model.model, inputs)
    reader.read_prompt()
    found: list[list[Odds]] = [[] for _ in rests]
    for slot in range(max(map(len, rests))):
        texts = [rest[slot] if slot < len(rest) else [] for rest in rests]
        last = _read_each(reader.branch(), texts, model.pad_id)
        for row, odds in enumerate(_odds(last, yes, no)):
            if slot < len(rests[row]):
                found[row].append(odds)
    return found


@dataclass(frozen=True, slots=True)
class Edit:
    """What is done to one row of a batch: tokens are put into it, and its end is left away."""

    insert: Sequence[int] = ()
    at: int | None = None
    """Before which of its tokens; None means behind them all."""
    keep: int | None = None
    """How many of its own tokens stay; None means all."""


def edit(inputs: Mapping[str, torch.Tensor], edits: Sequence[Edit], pad: int) -> dict[str, Any]:
    """Return the inputs of a batch, padded on the left, with each row's tokens edited."""
    fills = {"input_ids": None, "attention_mask": 1, "token_type_ids": 0, "mm_token_type_ids": 0}
    found: dict[str, Any] = dict(inputs)
    for name, fill in fills.items():
        if name not in inputs:
            continue
        rows = []
        for values, mask, one in zip(inputs[name], inputs["attention_mask"], edits, strict=True):
            own = values[mask.bool()][: one.keep]
            more = own.new_tensor(one.insert) if fill is None else own.new_full((len(one.insert),), fill)
            at = len(own) if one.at is None else one.at
            rows.append(torch.cat([own[:at], more, own[at:]]))
        width = max(map(len, rows))
        value = pad if fill is None else 0
        found[name] = torch.stack(
            [torch.nn.functional.pad(row, (width - len(row), 0), value=value) for row in rows]
        )
    return found


def _read_each(reader: Reader, texts: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """Return the logits after each row's last token; what pads a row stands behind it, where it cannot be seen."""
    width = max(map(len, texts))
    device = reader.device
    tokens = torch.full((len(texts), width), pad, dtype=torch.int64, device=device)
    for row, ids in enumerate(texts):
        tokens[row, : len(ids)] = torch.tensor(list(ids), dtype=torch.int64)
    if reader.one_by_one:
        logits = torch.cat([reader.read(piece) for piece in torch.split(tokens, 1, dim=1)], dim=1)
    else:
        logits = reader.read(tokens)
    last = torch.tensor([max(len(ids), 1) - 1 for ids in texts], device=device)
    return logits[torch.arange(len(texts), device=device), last]


def _rest(model: "TransformersModel", question: str) -> str:
    """Return all that comes between the given tokens and the answer."""
    if not model.has_template:
        return f"\n{question}\n"
    dialogue = [_user("a", picture=True), _assistant(_MARK), _user(question)]
    return _render(model, dialogue, True).partition(_MARK)[2]


def _render(model: "TransformersModel", messages: list[dict[str, Any]], answering: bool) -> str:
    text: str = model.processor.apply_chat_template(
        messages, add_generation_prompt=answering, tokenize=False, **model.template_options
    )
    return text


def _user(text: str, *, picture: bool = False) -> dict[str, Any]:
    image = [{"type": "image"}] if picture else []
    return {"role": "user", "content": [*image, {"type": "text", "text": text}]}


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def _odds(logits: torch.Tensor, yes: list[int], no: list[int]) -> list[Odds]:
    log_probabilities = logits.double().log_softmax(dim=-1)
    sides = [log_probabilities[:, ids].logsumexp(dim=-1).tolist() for ids in (yes, no)]
    return [Odds(a, b) for a, b in zip(*sides, strict=True)]
