"""Yes/no questions to a transformers model after a text in its own turn, answered by log-probabilities.

    user: image, prompt · assistant: the given tokens · user: a question · assistant: yes or no?

The common start of an interview's dialogues is read once; each question then continues from a copy of the cache.
Without given tokens, or with given tokens before the image, the question follows the prompt in the same turn. A model
without a chat template gets prompt, text and question on separate lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from eidolon.models.base.model import Interview, Odds, Request, WhiteBoxModel
from eidolon.models.generation.token_reader import TokenReader
from eidolon.models.probing.teacher_forcing import check_forcing
from eidolon.scorers.core.errors import UserError

SPELLINGS = {
    True: ("Yes", "yes", "YES", " Yes", " yes", " YES"),
    False: ("No", "no", "NO", " No", " no", " NO"),
}
"""The spellings of yes and no; the probabilities of all spellings of an answer are added up."""
FIXED_PROMPTS = {
    "paligemma": "lets every prompt token attend to all others",
    "mllama": "masks its image by prompt position",
}
"""Model types whose prompt cannot be edited or read in two parts without a different result, and why."""
_MARK = "QQMARKQQ"


def run_interviews(model: WhiteBoxModel, interviews: Sequence[Interview]) -> list[list[Odds]]:
    """Return the log-probabilities of yes and no, in nats, for every question of every interview.

    Raises:
        UserError: the tokenizer does not distinguish yes and no by their first tokens.
    """
    found: dict[int, list[Odds]] = {}
    for ask in (_ask_in_same_turn, _ask_in_new_turn):
        rows = [i for i, one in enumerate(interviews) if _has_new_turn(one) == (ask is _ask_in_new_turn)]
        if rows:
            found |= dict(zip(rows, ask(model, [interviews[i] for i in rows]), strict=True))
    return [found[i] for i in range(len(interviews))]


def _has_new_turn(interview: Interview) -> bool:
    return bool(interview.given) and not interview.before_image


def check_interview(model: WhiteBoxModel) -> None:
    """Check that a model can be interviewed.

    Raises:
        UserError: it cannot; the message says why.
    """
    from jinja2 import TemplateError

    check_forcing(model)
    kind = model.model.config.model_type
    if kind in FIXED_PROMPTS:
        raise UserError(
            f"model {model.name!r}: {kind} {FIXED_PROMPTS[kind]}; it cannot answer questions within a text"
        )
    answer_ids(model)
    try:
        keeps_text = bool(_between(model, _MARK).count(_MARK) == 1)
        reply_prefix(model)
    except TemplateError as error:
        raise UserError(
            f"model {model.name!r}: its chat template does not allow a second turn: {error}"
        ) from error
    if not keeps_text:
        raise UserError(f"model {model.name!r}: its chat template does not repeat the assistant's text")


def answer_ids(model: WhiteBoxModel) -> tuple[list[int], list[int]]:
    """Return the first tokens of yes and those of no: whole words if the vocabulary has them.

    Raises:
        UserError: no first token is left that belongs to one of the answers only.
    """
    found: dict[bool, list[int]] = {}
    for answer, spellings in SPELLINGS.items():
        encoded = [encode(model, spelling) for spelling in spellings]
        whole = {ids[0] for ids in encoded if len(ids) == 1}
        found[answer] = sorted(whole or {ids[0] for ids in encoded if ids})
    shared = set(found[True]) & set(found[False])
    yes, no = (sorted(set(found[answer]) - shared) for answer in (True, False))
    if not yes or not no:
        raise UserError(f"model {model.name!r}: its tokenizer gives yes and no the same first token")
    return yes, no


def encode(model: WhiteBoxModel, text: str) -> list[int]:
    """Return the token ids of a text, without special tokens at its start or end."""
    ids: list[int] = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def reply_prefix(model: WhiteBoxModel) -> str:
    """Return the white space that the template puts before the text of an assistant's turn; it may be empty."""
    if not model.has_template:
        return " "
    prompt = _render(model, [_user("a", image=True)], True)
    dialogue = _render(model, [_user("a", image=True), _assistant(_MARK)], False)
    before = dialogue.partition(_MARK)[0]
    between = before[len(prompt) :] if before.startswith(prompt) else ""
    return between if not between.strip() else ""


def _ask_in_new_turn(model: WhiteBoxModel, interviews: Sequence[Interview]) -> list[list[Odds]]:
    inputs = model.prepare([interview.request for interview in interviews])
    edits = [RowEdit(insert=interview.given) for interview in interviews]
    rests = [[encode(model, _between(model, question)) for question in one.questions] for one in interviews]
    return _answers(model, edit_rows(inputs, edits, model.pad_id), rests)


def _ask_in_same_turn(model: WhiteBoxModel, interviews: Sequence[Interview]) -> list[list[Odds]]:
    """Read the common start of an interview's dialogues once, then the rest of each dialogue."""
    dialogues: list[list[list[int]]] = [[] for _ in interviews]
    inputs: Any = None
    for slot in range(max(len(interview.questions) for interview in interviews)):
        requests = [
            replace(one.request, prompt=f"{one.request.prompt} {_question(one, slot)}".strip())
            for one in interviews
        ]
        prepared = model.prepare(requests)
        if inputs is None:
            inputs, first = prepared, requests
        for dialogue, tokens in zip(dialogues, _rows(prepared), strict=True):
            dialogue.append(tokens)
    shared = [_common_length(dialogue) for dialogue in dialogues]
    starts = _image_starts(model, first) if any(one.given for one in interviews) else [0] * len(interviews)
    edits = [
        RowEdit(insert=one.given, at=start, keep=keep)
        for one, start, keep in zip(interviews, starts, shared, strict=True)
    ]
    rests = [
        [dialogue[slot][keep:] for slot in range(len(one.questions))]
        for one, dialogue, keep in zip(interviews, dialogues, shared, strict=True)
    ]
    return _answers(model, edit_rows(inputs, edits, model.pad_id), rests)


def _question(interview: Interview, slot: int) -> str:
    return interview.questions[min(slot, len(interview.questions) - 1)]


def _common_length(rows: Sequence[Sequence[int]]) -> int:
    """Return the number of tokens that all rows start with, less than the length of the shortest."""
    most = min(map(len, rows)) - 1
    return next((i for i in range(most) if len({row[i] for row in rows}) > 1), most)


def _image_starts(model: WhiteBoxModel, requests: Sequence[Request]) -> list[int]:
    """Return where in each prompt the image starts: the first token that differs from the prompt without an image."""
    starts = []
    rows = [_rows(model.prepare(requests, images=images)) for images in (True, False)]
    for seen, blind in zip(*rows, strict=True):
        shortest = min(len(seen), len(blind))
        starts.append(next((i for i in range(shortest) if seen[i] != blind[i]), shortest))
    return starts


def _rows(prepared: Mapping[str, torch.Tensor]) -> list[list[int]]:
    """Return the token ids of each row without padding."""
    pairs = zip(prepared["input_ids"], prepared["attention_mask"], strict=True)
    return [ids[mask.bool()].tolist() for ids, mask in pairs]


def _answers(
    model: WhiteBoxModel, inputs: Mapping[str, Any], rests: Sequence[Sequence[Sequence[int]]]
) -> list[list[Odds]]:
    """Return the odds after each of several continuations of every prepared row."""
    yes, no = answer_ids(model)
    reader = TokenReader(model.model, inputs)
    reader.read_prompt()
    found: list[list[Odds]] = [[] for _ in rests]
    for slot in range(max(map(len, rests))):
        texts = [rest[slot] if slot < len(rest) else [] for rest in rests]
        last = _last_logits(reader.branch(), texts, model.pad_id)
        for row, odds in enumerate(_odds(last, yes, no)):
            if slot < len(rests[row]):
                found[row].append(odds)
    return found


@dataclass(frozen=True, slots=True)
class RowEdit:
    """A change to the tokens of one row of a batch."""

    insert: Sequence[int] = ()
    """Token ids to insert."""
    at: int | None = None
    """Index of the row's token before which they are inserted; None appends them."""
    keep: int | None = None
    """How many of the row's own tokens to keep, from the start; None keeps all."""


def edit_rows(inputs: Mapping[str, torch.Tensor], edits: Sequence[RowEdit], pad: int) -> dict[str, Any]:
    """Return the inputs of a batch with each row edited, again padded on the left."""
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


def _last_logits(reader: TokenReader, texts: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """Return the logits after each row's last token, (rows, vocabulary); padding follows it and has no effect."""
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


def _between(model: WhiteBoxModel, question: str) -> str:
    """Return the text between the given tokens and the answer: the question in its turn."""
    if not model.has_template:
        return f"\n{question}\n"
    dialogue = [_user("a", image=True), _assistant(_MARK), _user(question)]
    return _render(model, dialogue, True).partition(_MARK)[2]


def _render(model: WhiteBoxModel, messages: list[dict[str, Any]], answering: bool) -> str:
    text: str = model.processor.apply_chat_template(
        messages, add_generation_prompt=answering, tokenize=False, **model.template_options
    )
    return text


def _user(text: str, *, image: bool = False) -> dict[str, Any]:
    images = [{"type": "image"}] if image else []
    return {"role": "user", "content": [*images, {"type": "text", "text": text}]}


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def _odds(logits: torch.Tensor, yes: list[int], no: list[int]) -> list[Odds]:
    log_probabilities = logits.double().log_softmax(dim=-1)
    sides = [log_probabilities[:, ids].logsumexp(dim=-1).tolist() for ids in (yes, no)]
    return [Odds(a, b) for a, b in zip(*sides, strict=True)]
