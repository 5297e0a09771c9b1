"""The turns that are changed at token t, in every arm of `scorers.forgetting.interventions`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.forced_orders.design import sentence
from eidolon.benchmark.tasks.forget.own_text import OwnText, own_beginning
from eidolon.benchmark.tasks.forget.retention.design import hash_order
from eidolon.benchmark.tasks.forget.retention.filler import filler
from eidolon.benchmark.tasks.probe.questions import Annotations, choose_absent, count
from eidolon.models.base.model import ScoringModel
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.forgetting.events import in_order
from eidolon.scorers.forgetting.interventions import ARMS, Arm

AT = (16, 64)
"""Least tokens of the model's own text before a change. The text ends with a sentence."""
ROOM = 256
"""Positions reserved for the continuation and a second picture."""


@dataclass(frozen=True, slots=True)
class ChangedTurn:
    """A turn that is changed, up to where the model continues."""

    sample_id: str
    image_id: ImageId
    number: int
    at: int
    arm: Arm
    text: str
    tokens: tuple[int, ...]
    donor: str | None = None
    planted: str | None = None


@dataclass(frozen=True, slots=True)
class InterventionDesign:
    """All turns, and the images without any at some t."""

    turns: tuple[ChangedTurn, ...]
    missing: Mapping[int, Counter[str]]
    """Number of images without turns, by t, then by reason."""


def make_design(
    rows: Sequence[SampleRow], judged: Mapping[str, JudgedSample], model: ScoringModel, *, seed: int
) -> InterventionDesign:
    """Return the turns for the first response to each sample. `judged` is by sample id."""
    annotations = count(row.objects for row in {row.image_id: row for row in rows}.values())
    missing: dict[int, Counter[str]] = {at: Counter() for at in AT}
    turns: list[ChangedTurn] = []
    for row in rows:
        for number, at in enumerate(AT):
            found = _turns(row, rows, judged.get(row.sample_id), model, annotations, at, seed)
            if isinstance(found, str):
                missing[at][found] += 1
                continue
            for arm, text, tokens, donor, planted in found:
                place = number * len(ARMS) + ARMS.index(arm)
                turns.append(
                    ChangedTurn(row.sample_id, row.image_id, place, at, arm, text, tokens, donor, planted)
                )
    return InterventionDesign(tuple(sorted(turns, key=lambda turn: turn.at)), missing)


Part = tuple[Arm, str, tuple[int, ...], str | None, str | None]


def _turns(
    row: SampleRow,
    rows: Sequence[SampleRow],
    sample: JudgedSample | None,
    model: ScoringModel,
    annotations: Annotations,
    at: int,
    seed: int,
) -> list[Part] | str:
    """Return arm, text, tokens, donor and planted object of each turn, or why there are none."""
    if sample is None:
        return "no judged description"
    own = own_beginning(model, sample.response.response, at)
    if isinstance(own, str):
        return own
    before = (sample.response.prompt_tokens or 0) + len(own.tokens)
    if model.max_positions is not None and before + ROOM > model.max_positions:
        return "beyond the model's positions"
    named = {m.category: None for m in in_order(sample) if m.end <= len(own.text)}
    true = tuple(name for name in named if name in row.objects)
    if not set(row.objects) - set(true):
        return "every true object is named"
    ranking = annotations.beside_most(true[0]) if true else annotations.popular
    absent = choose_absent([[name for name in ranking if name not in named]], row.objects)
    donors = [one.sample_id for one in rows if not set(one.objects) & set(row.objects)] or [
        one.sample_id for one in rows if one.image_id != row.image_id
    ]
    if not absent or not donors:
        return "no object to plant, or no other picture"
    clean = _told(model, row.sample_id, true, len(own.tokens))
    planted = _told(model, row.sample_id, (*true, absent[0]), len(own.tokens))
    if clean is None or planted is None:
        return "the objects named do not fit into a text of that length"
    donor = hash_order(donors, seed, "swap", row.sample_id)[0]
    same = own.text, own.tokens
    return [
        ("own", *same, None, None),
        ("blank", *same, None, None),
        ("swap", *same, donor, None),
        ("again", *same, None, None),
        ("clean", clean.text, clean.tokens, None, None),
        ("planted", planted.text, planted.tokens, None, absent[0]),
    ]


def _told(model: ScoringModel, name: str, objects: Sequence[str], length: int) -> OwnText | None:
    """Return filler and then a sentence with the objects, of exactly so many tokens; None if the sentence is longer.

    The filler is cut at its beginning, far from where the model continues.
    """
    told = sentence(objects) if objects else ""
    words = length + 1
    tokens = model.encode_reply(f"{filler(name, words)} {told}".strip())
    if told and len(model.encode_reply(told)) > length:
        return None
    tokens = tokens[len(tokens) - length :]
    return OwnText(model.decode_reply(tokens), tokens)
