"""What the study found, in sentences that are computed from its numbers."""

from collections.abc import Iterator, Sequence
from typing import Literal

from eidolon.benchmark.drawing.marks import number
from eidolon.benchmark.drawing.style import short
from eidolon.benchmark.study.memory.records import (
    MemoryStudy,
    MemoryVariant,
    RetentionComparison,
    RetentionPoint,
)
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.statistics.seeds import FEWEST_SEEDS

PlottedMeasure = Literal["retention", "accuracy"]
BLIND = "did not learn to see"
FEWEST = 8
"""Smallest number of images for a point."""


def value_of(point: RetentionPoint, what: PlottedMeasure) -> Estimate:
    """Return the measure of a point."""
    return point.retention if what == "retention" else point.accuracy


def finding(study: MemoryStudy, shown: Sequence[MemoryVariant], what: PlottedMeasure, words: str) -> str:
    """Return which variant has the highest and the lowest value after the longest filler, in words.

    Variants that did not learn to see count only if there are no others, and those with too few seeds for a test only
    if fewer than two have enough.
    """
    seeing = [one for one in shown if one.not_reported is None and one.seeing != BLIND] or shown
    enough = [one for one in seeing if len(one.checkpoints) >= FEWEST_SEEDS]
    points = [
        (point.n, estimate.value, estimate, variant)
        for variant in (enough if len(enough) > 1 else seeing)
        if variant.not_reported is None
        for point in variant.retention
        if (point.condition, point.series) == ("filler", "unnamed") and point.images >= FEWEST
        if (estimate := value_of(point, what)).value is not None
    ]
    if not points:
        return "No variant was measured after filler"
    longest = max(n for n, *_ in points)
    last = sorted((p for p in points if p[0] == longest), key=lambda p: p[1])
    texts = [
        f"{short(variant.variant)} ({number(value, estimate.ci, 2)})"
        for _, value, estimate, variant in (last[-1], last[0])
    ]
    if len(last) == 1:
        return f"After {longest} tokens of filler, {what} of {texts[0]}"
    return f"After {longest} tokens of filler, {words.format(best=texts[0], worst=texts[1])}"


def cost_finding(shown: Sequence[MemoryVariant]) -> str:
    """Return which memory takes the most bytes after the longest text, and which the fewest."""
    longest = max(n for v in shown if v.size is not None for n in v.size.bytes_at)
    sizes = sorted(
        (v.size.bytes_at[longest] / 1024, short(v.variant))
        for v in shown
        if v.size is not None and longest in v.size.bytes_at
    )
    (least, small), (most, large) = sizes[0], sizes[-1]
    return f"After {longest} tokens, the memory of {large} takes {most:,.0f} KiB, that of {small} {least:,.0f} KiB"


def position_finding(shown: Sequence[MemoryVariant]) -> str:
    """Return in how many variants the last block has a higher rate of hallucination than the first."""
    pairs = []
    for variant in shown:
        rates = [b.hallucinated.value for b in variant.hallucination if b.mentions >= FEWEST]
        known = [rate for rate in rates if rate is not None]
        if len(known) > 1:
            pairs.append((known[0], known[-1]))
    if not pairs:
        return "What changes along a text"
    rising = sum(late > early for early, late in pairs)
    return (
        f"Along their own descriptions, {rising} of {len(pairs)} variants hallucinate more in the last measured block "
        "than in the first"
    )


def verdicts(study: MemoryStudy) -> list[str]:
    """Return what the registered comparisons found, a sentence for each pair."""
    pairs: dict[tuple[str, str], list[RetentionComparison]] = {}
    for one in study.comparisons:
        if one.registered:
            pairs.setdefault((one.a, one.b), []).append(one)
    return [sentence for (a, b), rows in pairs.items() for sentence in _verdicts(short(a), short(b), rows)]


def _verdicts(a: str, b: str, rows: Sequence[RetentionComparison]) -> Iterator[str]:
    phrases = {
        "a keeps more": f"{a} keeps more of the image than {b}",
        "b keeps more": f"{b} keeps more of the image than {a}",
        "not significant": f"no difference between {a} and {b} is shown",
        "not measured": f"{a} and {b} could not be compared",
        "too few seeds": f"{a} and {b} have too few seeds for a test",
        "not comparable": f"{a} and {b} are not comparable, because one did not learn to see",
        "not reported": f"{a} and {b} are not compared, because a store is not filled by surprise",
    }
    parts = []
    for outcome, phrase in phrases.items():
        found = [str(one.n) for one in rows if one.outcome == outcome]
        if found:
            parts.append(f"after {_listed(found)} tokens {phrase}")
    if parts:
        unequal = any(one.matched is False and one.p is not None for one in rows)
        note = "; directly after the image the two do not answer equally well" if unequal else ""
        yield f"Registered comparison: {'; '.join(parts)}{note}."


def blind_finding(study: MemoryStudy) -> str | None:
    """Return which variants did not learn to see, None if all did."""
    blind = [short(one.variant) for one in study.variants if one.seeing == BLIND and one.filled_by is None]
    if not blind:
        return None
    subject, it = ("1 variant", "it loses") if len(blind) == 1 else (f"{len(blind)} variants", "they lose")
    return (
        f"{subject} did not learn to see: {_listed(blind)}. What {it} is not only forgetting: answers right after the "
        "image are worse too."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
