"""With which words the model's turn is begun for it: the same sentence about its smallest and its largest objects.

    soon    I can see a cup and a fork.
    late    Overall, the mood seems calm and pleasant. … I can see a cup and a fork.

As many objects are named each time, half of those whose size is known, three at most, so that no object is named in
both orders. Before the late ones stands as much text about nothing as is looked at after the soon ones.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.retention.filler import filler
from eidolon.models.base.model import ScoringModel
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.forgetting.forced_orders import ARMS, WINDOW, Order

MOST_NAMED = 3
FRAME = "I can see {objects}."
"""What any model might begin with, and the shipped ones have read."""


@dataclass(frozen=True, slots=True)
class TurnPrefix:
    """A turn that is begun for the model."""

    sample_id: str
    image_id: ImageId
    number: int
    order: Order
    late: bool
    named: tuple[str, ...]
    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TurnDesign:
    """All turns, the short ones first, and why images have none."""

    turns: tuple[TurnPrefix, ...]
    missing: Mapping[str, int]
    """Images by reason."""


def make_design(rows: Sequence[SampleRow], model: ScoringModel) -> TurnDesign:
    """Begin four turns for each image, by its first sample."""
    missing: Counter[str] = Counter()
    turns: list[TurnPrefix] = []
    for row in {row.image_id: row for row in reversed(rows)}.values():
        begun = _begin(row, model)
        if isinstance(begun, str):
            missing[begun] += 1
        else:
            turns += begun
    places = {row.sample_id: i for i, row in enumerate(rows)}
    return TurnDesign(
        tuple(sorted(turns, key=lambda turn: (turn.late, places[turn.sample_id], turn.number))), dict(missing)
    )


def chosen(row: SampleRow) -> dict[Order, tuple[str, ...]]:
    """Return what each order names: from the smallest up, from the largest down; nothing where sizes lack."""
    sized = sorted((row.areas[name], name) for name in row.objects if name in row.areas)
    count = min(len(sized) // 2, MOST_NAMED)
    ascending = [name for _, name in sized]
    return {"small": tuple(ascending[:count]), "large": tuple(ascending[::-1][:count])}


def sentence(categories: Sequence[str]) -> str:
    """Return the sentence that names some categories, one at least."""
    *others, last = map(articled, categories)
    return FRAME.format(objects=f"{', '.join(others)} and {last}" if others else last)


def articled(category: str) -> str:
    """Return a category behind a or an; what is plural already (`skis`) stands alone."""
    if category.endswith("s") and not category.endswith(("ss", "us")):
        return category
    return f"{'an' if category[0].lower() in 'aeiou' else 'a'} {category}"


def _begin(row: SampleRow, model: ScoringModel) -> list[TurnPrefix] | str:
    named = chosen(row)
    if not named["small"]:
        return "fewer than two true objects of known size"
    turns = []
    for number, (order, late) in enumerate(ARMS):
        text = sentence(named[order])
        if late:
            text = f"{filler(row.sample_id, WINDOW)} {text}"
        tokens = model.encode_reply(text)
        if model.decode_reply(tokens) != text:
            return "the model's tokenizer does not give the text back"
        turns.append(TurnPrefix(row.sample_id, row.image_id, number, order, late, named[order], text, tokens))
    return turns
