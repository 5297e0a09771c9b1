"""Gates of a pipeline: conditions on the scores of a run, and on a comparison of two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eidolon.benchmark.settings.conditions import Condition, parse_condition
from eidolon.benchmark.tasks.protocol import DeclaringWork, Work
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.scores import Scores

if TYPE_CHECKING:
    from eidolon.benchmark.verify.compare import Comparison
    from eidolon.scorers.statistics.comparison import Compared


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a condition is met, and why."""

    condition: str
    met: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.condition}: {'met' if self.met else 'failed'}, {self.reason}"


def check_names(conditions: Sequence[str], work: Work) -> None:
    """Check before the work that it will give the scores that conditions name, as far as it says.

    Raises:
        UserError: a name is unknown or of several metrics, or a limit is a value that the score cannot have.
    """
    if not isinstance(work, DeclaringWork):
        return
    declared = {
        f"{family}.{quantity.name}": quantity
        for family, quantities in work.quantities().items()
        for quantity in quantities
    }
    for condition in map(parse_condition, conditions):
        found = _matching(condition.name, [*declared])
        if len(found) != 1:
            raise UserError(f"--require {condition.text}: {_ambiguous(condition.name, found, [*declared])}")
        low, high = declared[found[0]].bounds
        if not low <= condition.limit <= high:  # otherwise the gate would pass always, or never
            percent = f"; write {condition.limit / 100:g} for {condition.limit:g} %" if high == 1 else ""
            raise UserError(
                f"--require {condition.text}: {found[0]} is between {low:g} and {high:g}{percent}"
            )


def judge_conditions(conditions: Sequence[str], scores: Scores) -> list[Verdict]:
    """Return a verdict for each condition. A score that is undefined or missing fails it."""
    return [_judge(parse_condition(text), scores) for text in conditions]


def judge_worse(wanted: Sequence[str], comparison: "Comparison") -> list[Verdict]:
    """Return whether B is worse than A, for each wanted quantity; `NAME` or `NAME:MARGIN`.

    B is worse if the comparison finds A better: the p-value, adjusted for all quantities of the comparison, is below
    0.05, and the interval of the difference excludes 0. With a margin, B is also worse if its value is worse than A's
    by more than the margin, significant or not. A quantity that cannot be compared fails.

    Raises:
        UserError: the comparison has no such quantity, neither direction of it is better, or a margin is no number.
    """
    values = {
        f"{family}.{name}": value
        for family, found in comparison.metrics.items()
        for name, value in found.quantities().items()
    }
    verdicts = []
    for text in wanted:
        name, colon, margin = text.partition(":")
        found = _matching(name, [*values])
        if len(found) != 1:
            raise UserError(f"--fail-if-worse {text}: {_ambiguous(name, found, [*values])}")
        value = values[found[0]]
        if value.higher_is_better is None:
            raise UserError(
                f"--fail-if-worse {text}: neither direction of {found[0]} is better; name another"
            )
        limit = _margin(text, margin) if colon else None
        met, reason = _not_worse(value, limit)
        verdicts.append(Verdict(f"{found[0]} not worse", met, reason))
    return verdicts


def _judge(condition: Condition, scores: Scores) -> Verdict:
    values = {
        f"{family}.{name}": value
        for family, found in scores.metrics.items()
        for name, value in found.quantities().items()
    }
    found = _matching(condition.name, [*values])
    if len(found) != 1:
        return Verdict(condition.text, False, _ambiguous(condition.name, found, [*values]))
    value = values[found[0]]
    if value.value is None:
        return Verdict(condition.text, False, f"it is undefined ({value.reason or 'no reason is recorded'})")
    return Verdict(condition.text, condition.holds(value.value), f"it is {value.value:.6g}")


def _matching(name: str, names: Sequence[str]) -> list[str]:
    """Return the full names that a name may mean. It may be written as the tables head it: `CHAIR_i`, `F0.5`."""
    wanted = name.lower().replace("0.5", "05")
    return [full for full in names if wanted in (full.lower(), full.partition(".")[2].lower())]


def _ambiguous(name: str, found: Sequence[str], names: Sequence[str]) -> str:
    if found:
        return f"{name} is in several metrics; write {' or '.join(found)}"
    known = names if "." in name else [full.partition(".")[2] for full in names]
    return f"no score is called {name!r}{did_you_mean(name, [*dict.fromkeys(known)])}"


def _margin(text: str, margin: str) -> float:
    try:
        value = float(margin)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UserError(
            f"--fail-if-worse {text}: the margin must be a number of at least 0, as objects.f05:0.02"
        )
    return value


def _not_worse(value: "Compared", margin: float | None) -> tuple[bool, str]:
    if value.difference is None:
        return False, f"it cannot be compared ({value.reason or 'it is undefined'})"
    shown = f"B - A is {value.difference:+.4f}"
    shown += "" if value.ci is None else f" ({value.ci[0]:+.4f} to {value.ci[1]:+.4f})"
    loss = -value.difference if value.higher_is_better else value.difference
    if margin is not None and loss > margin:
        return False, f"{shown}, worse by more than the margin of {margin:g}"
    if value.outcome is None:
        if margin is not None:
            return True, f"{shown}, within the margin of {margin:g}"
        return False, f"{shown}, and nothing was tested ({value.reason or 'there is no interval or test'})"
    if value.outcome == "a_better":
        return False, f"{shown}, A is better"
    return True, f"{shown}, {'B is better' if value.outcome == 'b_better' else 'no significant difference'}"
