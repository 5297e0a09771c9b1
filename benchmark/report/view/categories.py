"""The table of categories: named and there, named and not there, missed, and what is there instead."""

from collections import Counter
from collections.abc import Sequence

from eidolon.benchmark.report.view.records import Beside, CategoryRow
from eidolon.benchmark.report.view.samples import ViewedSample

BESIDE = 5
"""The most companions of a category in the table."""


def by_category(shown: Sequence[ViewedSample]) -> tuple[CategoryRow, ...]:
    """Return a row for each category, those that are hallucinated most first. Unscored responses are left out."""
    there: Counter[str] = Counter()
    absent: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    with_objects: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    beside: dict[str, Counter[str]] = {}
    scored = [one for one in shown if one.scored]
    for one in scored:
        there.update(one.named("grounded"))
        missed.update(one.missed())
        with_objects.update(one.truth)
        pairs.update((a, b) for a in one.truth for b in one.truth if a != b)
        for name in one.named("hallucinated"):
            absent[name] += 1
            beside.setdefault(name, Counter()).update(one.truth)
    names = sorted({*there, *absent, *missed}, key=lambda name: (-absent[name], -there[name], name))

    def companions(name: str) -> tuple[Beside, ...]:
        total = absent[name]
        # The other responses about pictures without the category: they had the same chance to hallucinate it.
        others = len(scored) - with_objects[name] - total

        def elsewhere(other: str, count: int) -> float | None:
            return (with_objects[other] - pairs[name, other] - count) / others if others > 0 else None

        found = [
            Beside(name=other, pictures=count, share=count / total, elsewhere=elsewhere(other, count))
            for other, count in beside.get(name, Counter()).items()
        ]
        return tuple(sorted(found, key=lambda one: (-_excess(one), one.name))[:BESIDE])

    return tuple(
        CategoryRow(
            name=name,
            named_there=there[name],
            named_absent=absent[name],
            missed=missed[name],
            beside=companions(name),
        )
        for name in names
    )


def _excess(one: Beside) -> float:
    """Return by how many responses the companion is more frequent than elsewhere."""
    return one.pictures - (one.elsewhere or 0) * one.pictures / one.share
