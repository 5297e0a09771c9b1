"""Makes the verdict of a check from comparisons of answers."""

from collections.abc import Mapping, Sequence

from eidolon.benchmark.store.diagnosis import Check
from eidolon.benchmark.verify.doctor.parity import Parity

Figures = Mapping[str, int | float | str]


def judge(
    name: str, comparisons: Sequence[Parity], problems: Sequence[str] = (), figures: Figures | None = None
) -> Check:
    """Return a check with the verdict `ok` if rounding explains every difference and there are no other problems.

    All comparisons are of the same requests. A request counts as equal if it is equal in all of them.
    """
    differences = tuple(d for parity in comparisons for d in parity.differences)
    n = comparisons[0].n if comparisons else None
    known = [d.near_tie for d in differences if d.near_tie is not None]
    unexplained = [d for d in differences if not d.near_tie]
    reasons = [*problems]
    if unexplained:
        first = unexplained[0]
        at = f"token {first.token}" if first.token is not None else f"character {first.character}"
        gap = f", {first.gap:.3g} apart" if first.gap is not None else ""
        reasons.append(f"sample {first.sample_id} at {at}: {first.expected!r} and {first.found!r}{gap}")
    fine = "all answers equal" if not differences else "differences are near-ties"
    return Check(
        name=name,
        verdict="differs" if reasons else "ok",
        detail="; ".join(reasons) or (fine if comparisons else "nothing wrong"),
        n=n,
        equal=None if n is None else n - len({d.sample_id for d in differences}),
        largest_gap=max((d.gap for d in differences if d.gap is not None), default=None),
        near_ties=all(known) if known else None,
        differences=differences,
        figures=dict(figures or {}),
    )


def not_applicable(name: str, why: str, figures: Figures | None = None) -> Check:
    """Return a check with the verdict `not applicable`."""
    return Check(name=name, verdict="not applicable", detail=why, figures=dict(figures or {}))
