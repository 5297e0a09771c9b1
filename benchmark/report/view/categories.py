"""The table of categories: named and there, named and not there, missed, and what is there instead."""

from collections import Counter
from itertools import permutations

from eidolon.benchmark.report.view.records import Beside, CategoryRow
from eidolon.benchmark.report.view.samples import ViewedSample

BESIDE = 5
"""The most companions of a category in the table."""


class CategoryCounts:
    """Counts of categories over the scored responses. Each response counts once."""

    def __init__(self) -> None:
        self.scored = 0
        self._there: Counter[str] = Counter()
        self._absent: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self._with_objects: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._beside: dict[str, Counter[str]] = {}

    def add(self, one: ViewedSample) -> None:
        """Count a response, unless it is unscored."""
        if not one.scored:
            return
        self.scored += 1
        truth = one.truth
        self._there.update(one.named("grounded"))
        self._missed.update(one.missed())
        self._with_objects.update(truth)
        self._pairs.update(permutations(truth, 2))
        for name in one.named("hallucinated"):
            self._absent[name] += 1
            self._beside.setdefault(name, Counter()).update(truth)

    def rows(self) -> tuple[CategoryRow, ...]:
        """Return a row for each category, those that are hallucinated most first."""
        there, absent, missed = self._there, self._absent, self._missed
        names = sorted({*there, *absent, *missed}, key=lambda name: (-absent[name], -there[name], name))
        return tuple(
            CategoryRow(
                name=name,
                named_there=there[name],
                named_absent=absent[name],
                missed=missed[name],
                beside=self._companions(name),
            )
            for name in names
        )

    def _companions(self, name: str) -> tuple[Beside, ...]:
        total = self._absent[name]
        # The other responses about pictures without the category: they had the same chance to hallucinate it.
        others = self.scored - self._with_objects[name] - total

        def elsewhere(other: str, count: int) -> float | None:
            without = self._with_objects[other] - self._pairs[name, other] - count
            return without / others if others > 0 else None

        found = [
            Beside(name=other, pictures=count, share=count / total, elsewhere=elsewhere(other, count))
            for other, count in self._beside.get(name, Counter()).items()
        ]
        return tuple(sorted(found, key=lambda one: (-_excess(one), one.name))[:BESIDE])


def _excess(one: Beside) -> float:
    """Return by how many responses the companion is more frequent than elsewhere."""
    return one.pictures - (one.elsewhere or 0) * one.pictures / one.share
