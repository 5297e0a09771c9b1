"""The answers of a probe run: right and wrong by split and category, and the answers that are not plainly yes or no."""

from collections import Counter
from collections.abc import Sequence

from eidolon.benchmark.report.view.records import Confusion, ProbeView
from eidolon.benchmark.report.view.samples import ViewedSample
from eidolon.scorers.text.yes_no import strict


def probe_view(shown: Sequence[ViewedSample], policy: str) -> ProbeView | None:
    """Return the counts under the main policy, None where the responses answer no questions."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    unparsed = []
    for position, one in enumerate(shown):
        if one.answer is None:
            continue
        read = one.read
        outcome = "unparsed" if read is None else f"{'right' if read == one.answer.truth else 'wrong'}_{read}"
        counts.setdefault((_part(one), one.asked or ""), Counter())[outcome] += 1
        if strict(one.response.response or "") is None:
            unparsed.append(position)
    if not counts:
        return None
    rows = (Confusion(split=split, category=name, **found) for (split, name), found in sorted(counts.items()))
    # AMBER names its one way of reading by its mode.
    known = next(one.answer.parsed for one in shown if one.answer is not None)
    return ProbeView(
        policy=policy if policy in known else next(iter(known)),
        confusion=tuple(rows),
        unparsed=tuple(unparsed),
    )


def _part(one: ViewedSample) -> str:
    """Return the split of a question, or the dimension of an answer from a file."""
    if one.question is not None:
        return one.question.split
    return (one.answer.dimension if one.answer else None) or "all"
