"""The words that begin the model's turn: the same sentence about the smallest and about the largest objects.

    soon    I can see a cup and a fork.
    late    Overall, the mood seems calm and pleasant. … I can see a cup and a fork.

Every turn of an image names equally many objects: half of those with a known size, at most three. So no object is named
in both orders. The filler before a late sentence is as long as the text that is read after a soon one.
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
"""A beginning that any model might write. It occurs in the training of the shipped ones."""


@dataclass(frozen=True, slots=True)
class TurnPrefix:
    """The beginning of a turn, which the model continues."""

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
    """All turns, the short ones first, and the images without any."""

    turns: tuple[TurnPrefix, ...]
    missing: Mapping[str, int]
    """Number of images without turns, by reason."""


def make_design(rows: Sequence[SampleRow], model: ScoringModel) -> TurnDesign:
    """Return four turns for each image, of its first sample."""
    missing: Counter[str] = Counter()
    turns: list[TurnPrefix] = []
    for row in {row.image_id: row for row in reversed(rows)}.values():
        prefixes = _prefixes(row, model)
        if isinstance(prefixes, str):
            missing[prefixes] += 1
        else:
            turns += prefixes
    places = {row.sample_id: i for i, row in enumerate(rows)}
    return TurnDesign(
        tuple(sorted(turns, key=lambda turn: (turn.late, places[turn.sample_id], turn.number))), dict(missing)
    )


def chosen(row: SampleRow) -> dict[Order, tuple[str, ...]]:
    """Return the objects that each order names: the smallest ascending, the largest descending.

    Both are empty if fewer than two sizes are known.
    """
    sized = sorted((row.areas[name], name) for name in row.objects if name in row.areas)
    count = min(len(sized) // 2, MOST_NAMED)
    ascending = [name for _, name in sized]
    return {"small": tuple(ascending[:count]), "large": tuple(ascending[::-1][:count])}


def sentence(categories: Sequence[str]) -> str:
    """Return the sentence that names the categories, at least one."""
    *others, last = map(articled, categories)
    return FRAME.format(objects=f"{', '.join(others)} and {last}" if others else last)


def articled(category: str) -> str:
    """Return a category with its article, `a` or `an`. A plural like `skis` has none."""
    if category.endswith("s") and not category.endswith(("ss", "us")):
        return category
    return f"{'an' if category[0].lower() in 'aeiou' else 'a'} {category}"


def _prefixes(row: SampleRow, model: ScoringModel) -> list[TurnPrefix] | str:
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
