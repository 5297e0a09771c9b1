"""The answers of a probe run: right and wrong by split and category, and the answers that are not plainly yes or no."""

from collections import Counter

from eidolon.benchmark.report.view.records import Confusion, ProbeView
from eidolon.benchmark.report.view.samples import ViewedSample
from eidolon.scorers.text.yes_no import strict


class ProbeCounts:
    """Counts of answers under a policy."""

    def __init__(self, policy: str) -> None:
        """`policy` is the main one."""
        self._policy = policy
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._unparsed: list[int] = []
        self._known: tuple[str, ...] = ()

    def add(self, position: int, one: ViewedSample) -> None:
        """Count the sample at a position of the run, if it answers a question."""
        if one.answer is None:
            return
        self._known = self._known or tuple(one.answer.parsed)
        read = one.read
        outcome = "unparsed" if read is None else f"{'right' if read == one.answer.truth else 'wrong'}_{read}"
        self._counts.setdefault((_part(one), one.asked or ""), Counter())[outcome] += 1
        if strict(one.response.response or "") is None:
            self._unparsed.append(position)

    def view(self) -> ProbeView | None:
        """Return the counts, None where the responses answer no questions."""
        if not self._counts:
            return None
        counts = sorted(self._counts.items())
        return ProbeView(
            # AMBER names its one way of reading by its mode.
            policy=self._policy if self._policy in self._known else self._known[0],
            confusion=tuple(
                Confusion(split=split, category=name, **found) for (split, name), found in counts
            ),
            unparsed=tuple(self._unparsed),
        )


def _part(one: ViewedSample) -> str:
    """Return the split of a question, or the dimension of an answer from a file."""
    if one.question is not None:
        return one.question.split
    return (one.answer.dimension if one.answer else None) or "all"
