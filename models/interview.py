"""Questions put to a model of transformers after a text that stands in its own turn, answered by log-probabilities.

    user: picture, prompt · assistant: the given tokens · user: a question · assistant: yes or no?

All that comes before the question is read once; every question of an interview then goes on from a copy of the cache.
Without given tokens the question follows the prompt in the same turn. A model without a chat template is given one
line after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from eidolon.models.base import Interview, Odds
from eidolon.models.reader import Reader
from eidolon.scorers.errors import UserError

if TYPE_CHECKING:
    from eidolon.models.transformers_backend import TransformersModel

SPELLINGS = {
    True: ("Yes", "yes", "YES", " Yes", " yes", " YES"),
    False: ("No", "no", "NO", " No", " no", " NO"),
}
"""How an answer may begin; what the model gives to all of one kind counts together."""
_MARK = "QQMARKQQ"
_BY_TOKEN = ("attention_mask", "token_type_ids", "mm_token_type_ids")
"""What a processor returns beside `input_ids` for every token of the prompt; what is given here is text."""


def hold(model: "TransformersModel", interviews: Sequence[Interview]) -> list[list[Odds]]:
    """Return log p(yes) and log p(no) of every question of every interview.

    Raises:
        UserError: the model cannot be asked so.
    """
    yes, no = answer_ids(model)
    found: list[list[Odds]] = [[] for _ in interviews]
    after = [row for row, interview in enumerate(interviews) if interview.given]
    for slot in range(max((len(interview.questions) for interview in interviews), default=0)):
        rows = [i for i, one in enumerate(interviews) if not one.given and slot < len(one.questions)]
        if rows:
            asked = [
                replace(
                    interviews[i].request,
                    prompt=f"{interviews[i].request.prompt} {interviews[i].questions[slot]}".strip(),
                )
                for i in rows
            ]
            last = Reader(model.model, model.prepare(asked)).read_prompt()[:, -1]
            for i, odds in zip(rows, _odds(last, yes, no), strict=True):
                found[i].append(odds)
    if after:
        for i, answers in zip(after, _after([interviews[i] for i in after], model, yes, no), strict=True):
            found[i] = answers
    return found


def check(model: "TransformersModel") -> None:
    """Raise a UserError for a model that cannot be interviewed."""
    from eidolon.models import teacher_forcing

    teacher_forcing.check(model)
    answer_ids(model)


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


def _after(
    interviews: Sequence[Interview], model: "TransformersModel", yes: list[int], no: list[int]
) -> list[list[Odds]]:
    inputs = model.prepare([interview.request for interview in interviews])
    inputs = lengthen(inputs, [interview.given for interview in interviews], model.pad_id)
    reader = Reader(model.model, inputs)
    reader.read_prompt()
    found: list[list[Odds]] = [[] for _ in interviews]
    for slot in range(max(len(interview.questions) for interview in interviews)):
        asked = [
            encode(model, _rest(model, one.questions[slot])) if slot < len(one.questions) else []
            for one in interviews
        ]
        last = _read_each(reader.branch(), asked, model.pad_id)
        for row, odds in enumerate(_odds(last, yes, no)):
            if slot < len(interviews[row].questions):
                found[row].append(odds)
    return found


def lengthen(inputs: Mapping[str, torch.Tensor], given: Sequence[Sequence[int]], pad: int) -> dict[str, Any]:
    """Return the inputs of a batch with each row's tokens put behind its prompt, padded on the left again."""
    rows = [ids[mask.bool()] for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)]
    rows = [
        torch.cat([ids, torch.tensor(list(more), dtype=ids.dtype, device=ids.device)])
        for ids, more in zip(rows, given, strict=True)
    ]
    width = max(map(len, rows))
    found: dict[str, Any] = dict(inputs)
    found["input_ids"] = torch.stack(
        [torch.nn.functional.pad(ids, (width - len(ids), 0), value=pad) for ids in rows]
    )
    for name in _BY_TOKEN:
        if name not in inputs:
            continue
        fill = 1 if name == "attention_mask" else 0
        kept = [old[mask.bool()] for old, mask in zip(inputs[name], inputs["attention_mask"], strict=True)]
        kept = [
            torch.cat([old, old.new_full((len(more),), fill)]) for old, more in zip(kept, given, strict=True)
        ]
        found[name] = torch.stack([torch.nn.functional.pad(old, (width - len(old), 0)) for old in kept])
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
