"""How the quantities of `scores.json` are named in figures, and which of them share an axis."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Family

NAMES = {"f05": "F0.5", "f1": "F1", "chair_i": "CHAIR_i", "chair_s": "CHAIR_s", "words": "words per response"}
ARROWS = {True: " ↑", False: " ↓", None: ""}
"""Beside a name: whether more or less is better."""
UNITS = {
    "words": "words",
    "odds_ratio": "odds ratio",
    "_tokens": "tokens",
    "captions": "captions",
    "decay": "share lost",
}
"""By part of a quantity's name, the unit of those that are no shares."""
CHANGES = ("_change", "order_", "size_order")


@dataclass(frozen=True, slots=True)
class PlottedQuantity:
    """A quantity of a run."""

    family: str
    name: str
    estimate: Estimate

    @property
    def key(self) -> str:
        """Family and name, as in `objects.f05`."""
        return f"{self.family}.{self.name}"

    @property
    def label(self) -> str:
        """The name in figures."""
        return label_of(self.name, self.estimate.higher_is_better)

    @property
    def unit(self) -> str:
        """`share`, `change of a share`, or the name of another unit."""
        return unit_of(self.name)


def label_of(name: str, higher_is_better: bool | None) -> str:
    """Return the name of a quantity in figures, with an arrow in the better direction."""
    words = [name] if name in NAMES else name.split("_")
    return " ".join(NAMES.get(word, word) for word in words) + ARROWS[higher_is_better]


def unit_of(name: str) -> str:
    """Return `share`, `change of a share`, or the name of another unit."""
    unit = next((unit for part, unit in UNITS.items() if part in name), None)
    if unit is None:
        unit = "change of a share" if any(part in name for part in CHANGES) else "share"
    return unit


def all_quantities(metrics: Mapping[str, Family]) -> Iterator[PlottedQuantity]:
    """Yield every quantity of the scores."""
    for family, values in metrics.items():
        for name, estimate in values.quantities().items():
            yield PlottedQuantity(family, name, estimate)
