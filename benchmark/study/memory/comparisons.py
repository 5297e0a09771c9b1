"""Comparisons of retention between variants, with Holm's correction over the registered ones."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from eidolon.benchmark.study.memory.checkpoints import MAIN, variant_name
from eidolon.benchmark.study.memory.pools import Analysis, Pool
from eidolon.benchmark.study.memory.records import Outcome, RetentionComparison, Seeing
from eidolon.benchmark.study.memory.retention import own_retention
from eidolon.benchmark.study.memory.seeing import SEEN_WITHIN
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import BoolArray
from eidolon.scorers.retention.measure import AnswerPair, Cell, compute, unusable
from eidolon.scorers.retention.records import Condition
from eidolon.scorers.statistics.bootstrap import LEVEL
from eidolon.scorers.statistics.paired import holm
from eidolon.scorers.statistics.seeds import FEWEST_SEEDS, welch_difference

PRIMARY = (("attention", "bm"), ("bm", "gdn"), ("gdn", "swa"))
PRIMARY_LENGTHS = (64, 256, 512)
PRIMARY_CONDITION: Condition = "filler"
"""The registered comparisons, written down before training (`docs/evidence/memory-plan.md`)."""
NOTHING = Estimate.undefined()


def compare(
    analysis: Analysis, pools: Sequence[Pool], seeing: Mapping[str, Seeing]
) -> tuple[RetentionComparison, ...]:
    """Return the comparisons of the main variants in pairs, and of every store with the same one filled by innovation.

    `seeing` says by label which variants learned to see. A registered comparison has a p only if both did, both have
    five seeds, and their stores are filled by surprise; the others have none. Holm's correction is over all registered
    comparisons. One that could not be made counts with p = 1.
    """
    by_label = {pool.label: pool for pool in pools}
    main = [by_label[name] for name in MAIN if name in by_label]
    couples = [(a, b) for a, b in combinations(_primary_order(main), 2)]
    couples += [(like, pool) for pool in pools if (like := _by_innovation(pool, pools)) is not None]
    found = [
        _judged(_comparison(analysis, a, b, condition, n), a, b, seeing)
        for a, b in couples
        for condition in ("filler", "words", "own", "other")
        for n in analysis.settings.lengths
    ]
    known = [one for one in found if one.images]
    tested = [i for i, one in enumerate(known) if one.registered and one.p is not None]
    missing = len(PRIMARY) * len(PRIMARY_LENGTHS) - len(tested)
    adjusted = holm([*(known[i].p or 0.0 for i in tested), *[1.0] * missing])
    for i, p in zip(tested, adjusted, strict=False):
        known[i] = known[i].model_copy(update={"p_holm": p, "outcome": _outcome(known[i].difference, p)})
    return tuple(known)


def _by_innovation(pool: Pool, pools: Sequence[Pool]) -> Pool | None:
    """Return the pool that differs from this one only in its stores, which are filled by innovation; None without one.

    If the rule was changed in the measurement, it has the same models, and only those. If it was changed in training,
    it has others.
    """
    if pool.selection == "innovation":
        return None
    if pool.selection is not None:
        like = next((one for one in pools if one.variant == pool.variant and one.selection is None), None)
        return None if like is None else like.with_seeds(pool.seeds)
    if "BM" not in pool.memory.layout or pool.memory.selection == "innovation":
        return None
    wanted = pool.memory.model_copy(update={"selection": "innovation"})
    return next((one for one in pools if one.memory == wanted and one.selection is None), None)


def _primary_order(main: Sequence[Pool]) -> list[Pool]:
    order = ("attention", "bm", "gdn", "swa")
    return sorted(main, key=lambda pool: order.index(pool.variant))


def _comparison(analysis: Analysis, a: Pool, b: Pool, condition: Condition, n: int) -> RetentionComparison:
    """Return the comparison of pooled retention, with an interval over seeds and images (`crossed_bootstrap`)."""
    cell: Cell = (condition, "unnamed", n)
    shared = _shared(a, b, cell)
    sums = [pool.cell(cell) * shared[:, None] for pool in (a, b)]
    nothing = RetentionComparison(
        a=a.label,
        b=b.label,
        condition=condition,
        n=n,
        registered=_is_registered(a, b, condition, n),
        images=int(shared.sum()),
        difference=NOTHING,
        by_margin=NOTHING,
        of_both_right=NOTHING,
        accuracy_at_0=None,
        matched=None,
        p=None,
        outcome="not measured",
        reason=None if shared.any() else "not measured for both",
    )
    if not shared.any():
        return nothing
    starts = [analysis.estimate(pool, one, compute) for pool, one in zip((a, b), sums, strict=True)]
    at_0 = (float(starts[0]["accuracy_at_0"].value), float(starts[1]["accuracy_at_0"].value))
    started = nothing.model_copy(
        update={"accuracy_at_0": at_0, "matched": abs(at_0[0] - at_0[1]) <= SEEN_WITHIN}
    )
    reason = next((r for s in starts if (r := unusable(s["above_at_0"], nothing.images))), None)
    if reason is not None:
        return started.model_copy(update={"reason": reason})
    found = analysis.draws.difference((a.variant, sums[0]), (b.variant, sums[1]), compute)
    difference = found["retention"]
    both = [pool.cell(cell, _right_at_0(a, b, cell)) * shared[:, None] for pool in (a, b)]
    right = analysis.draws.difference((a.variant, both[0]), (b.variant, both[1]), compute)["retention"]
    return started.model_copy(
        update={
            "difference": difference.estimate(),
            "by_margin": found["retention_margin"].estimate(),
            "of_both_right": right.estimate(),
            "outcome": _outcome(difference.estimate(), None),
        }
    )


def _is_registered(a: Pool, b: Pool, condition: Condition, n: int) -> bool:
    """Return whether a comparison was written down before training. The user may name a variant otherwise than its
    memories are, so both count."""
    as_named = all(variant_name(pool.memory) == pool.variant for pool in (a, b))
    planned = (a.label, b.label) in PRIMARY and n in PRIMARY_LENGTHS and condition == PRIMARY_CONDITION
    return planned and as_named


def _shared(a: Pool, b: Pool, cell: Cell) -> BoolArray:
    """Return which images both variants were asked about in a cell."""
    first, second = (pool.cell(cell)[..., 0].sum(axis=0) > 0 for pool in (a, b))
    return np.asarray(first & second)


def _judged(
    found: RetentionComparison, a: Pool, b: Pool, seeing: Mapping[str, Seeing]
) -> RetentionComparison:
    """Return a comparison with the reason why it decides nothing, if there is one, and the test of a registered one."""
    if not found.images:
        return found
    if (reason := next((pool.refused for pool in (a, b) if pool.refused), None)) is not None:
        empty = dict.fromkeys(("difference", "by_margin", "of_both_right"), NOTHING)
        return found.model_copy(update={**empty, "p": None, "outcome": "not reported", "reason": reason})
    blind = [pool.label for pool in (a, b) if seeing[pool.label] != "trained"]
    if found.registered and blind:
        reason = "; ".join(f"{name}: {seeing[name]}" for name in blind)
        return found.model_copy(update={"p": None, "outcome": "not comparable", "reason": reason})
    if found.reason is not None:
        return found
    if found.registered:
        return _tested(found, a, b)
    return found.model_copy(update={"p": None, "outcome": "not tested"})


def _tested(found: RetentionComparison, a: Pool, b: Pool) -> RetentionComparison:
    """Return a registered comparison with the difference of the means over seeds, tested by Welch's t."""
    cell: Cell = (found.condition, "unnamed", found.n)
    shared = _shared(a, b, cell)[:, None]
    by_seed = [[own_retention(sums * shared) for sums in pool.cell(cell)] for pool in (a, b)]
    usable = [[value for value in values if value is not None] for values in by_seed]
    if min(map(len, usable)) < FEWEST_SEEDS:
        counts = " and ".join(str(len(values)) for values in usable)
        reason = f"{counts} seeds, and {FEWEST_SEEDS} are needed"
        return found.model_copy(update={"p": None, "outcome": "too few seeds", "reason": reason})
    tested = welch_difference(*usable)
    if tested is None:
        reason = "the seeds of both variants keep exactly the same share, so their spread is unknown"
        return found.model_copy(update={"p": None, "outcome": "not measured", "reason": reason})
    difference = Estimate(value=tested.value, ci=(tested.low, tested.high))
    return found.model_copy(
        update={"difference": difference, "p": tested.p, "outcome": _outcome(difference, None)}
    )


def _outcome(difference: Estimate, p_holm: float | None) -> Outcome:
    if difference.ci is None or difference.value is None:
        return "not measured"
    low, high = difference.ci
    if low <= 0 <= high or (p_holm is not None and p_holm > 1 - LEVEL):
        return "not significant"
    return "a keeps more" if difference.value > 0 else "b keeps more"


def _right_at_0(a: Pool, b: Pool, cell: Cell) -> Callable[[AnswerPair], bool]:
    """Return the test whether most models of both variants answer a question right, directly after the image."""

    def key(one: AnswerPair) -> tuple[Any, ...]:
        return one.image_id, one.first.kind, one.first.about

    chosen: set[tuple[Any, ...]] | None = None
    for pool in (a, b):
        right: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for pairs in pool.pairs:
            for one in pairs.get(cell, []):
                right[key(one)].append(one.first.correct)
        mostly = {asked for asked, found in right.items() if np.mean(found) > 0.5}
        chosen = mostly if chosen is None else chosen & mostly
    kept = chosen or set()
    return lambda one: key(one) in kept
