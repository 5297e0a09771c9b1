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
        if one.question is None or one.answer is None:
            continue
        read = one.answer.parsed.get(policy)
        outcome = "unparsed" if read is None else f"{'right' if read == one.answer.truth else 'wrong'}_{read}"
        counts.setdefault((one.question.split, one.question.category), Counter())[outcome] += 1
        if strict(one.response.response or "") is None:
            unparsed.append(position)
    if not counts:
        return None
    rows = (Confusion(split=split, category=name, **found) for (split, name), found in sorted(counts.items()))
    return ProbeView(policy=policy, confusion=tuple(rows), unparsed=tuple(unparsed))
