"""The beginnings of descriptions, and the names that are scored after them.

The names are those of the probe of knowledge: all true objects and a sample of the absent ones. After a text, those
that it names are left out.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.forced_orders.design import articled
from eidolon.benchmark.tasks.forget.knowledge.design import make_candidates
from eidolon.benchmark.tasks.forget.own_text import OwnText, own_beginning
from eidolon.models.base.model import CompletingModel
from eidolon.scorers.core.types import ImageId, Response

FRAME = " There is also"
"""The words that are forced. The article is scored with the name."""
ROOM = 32
"""Positions reserved for the frame and a name."""


@dataclass(frozen=True, slots=True)
class ClozeText:
    """A beginning, and the names after it."""

    sample_id: str
    image_id: ImageId
    number: int
    n: int
    own: OwnText
    names: tuple[tuple[str, bool], ...]
    """Categories, each with whether it is in the image."""


@dataclass(frozen=True, slots=True)
class ClozeDesign:
    """All beginnings, the short ones first, and the ones that are missing."""

    texts: tuple[ClozeText, ...]
    missing: Mapping[int, Counter[str]]
    """Number of images without a beginning, by n, then by reason."""


def make_design(
    rows: Sequence[SampleRow],
    responses: Mapping[str, Response],
    model: CompletingModel,
    name: Callable[[str], Collection[str]],
    *,
    lengths: Sequence[int],
    seed: int,
) -> ClozeDesign:
    """Return the beginnings of the first response to each sample. `name` finds the categories that a text names."""
    missing: dict[int, Counter[str]] = {n: Counter() for n in lengths}
    texts: list[ClozeText] = []
    asked = make_candidates(rows, seed)
    for row in rows:
        if row.sample_id not in asked:
            continue
        objects = asked[row.sample_id].objects
        response = responses[row.sample_id]
        later: list[ClozeText] = []
        for n in lengths:
            if (
                model.max_positions is not None
                and (response.prompt_tokens or 0) + n + ROOM > model.max_positions
            ):
                missing[n]["beyond the model's positions"] += 1
                continue
            own = own_beginning(model, response.response, n)
            if isinstance(own, str):
                missing[n][own] += 1
                continue
            named = name(own.text)
            left = tuple((about, truth) for about, truth in objects if about not in named)
            if {truth for _, truth in left} == {True, False}:
                later.append(ClozeText(row.sample_id, row.image_id, 1 + len(later), n, own, left))
            else:
                missing[n]["every true object is named"] += 1
        if later:
            texts += [ClozeText(row.sample_id, row.image_id, 0, 0, OwnText("", ()), objects), *later]
    return ClozeDesign(tuple(sorted(texts, key=lambda text: text.n)), missing)


def given(text: ClozeText, model: CompletingModel) -> tuple[int, ...]:
    """Return the tokens before the names."""
    if not text.own.tokens:
        return model.encode_reply(FRAME)
    return (*text.own.tokens, *model.encode_within(FRAME))


def completions(text: ClozeText, model: CompletingModel) -> tuple[tuple[int, ...], ...]:
    """Return the tokens of each name with its article."""
    return tuple(model.encode_within(f" {articled(about)}") for about, _ in text.names)
