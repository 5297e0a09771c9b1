"""The differences between the runs of a page."""

from collections.abc import Sequence
from pathlib import Path

from eidolon.benchmark.report.compare_table import findings
from eidolon.benchmark.report.view.records import Difference, Pair
from eidolon.benchmark.report.view.summary import is_share
from eidolon.benchmark.verify.compare import CompareOptions, Comparison, compare
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.statistics.comparison import Compared


def compare_runs(folders: Sequence[Path], options: CompareOptions) -> tuple[Pair, ...]:
    """Return the comparisons of the first run with each of the others. Runs that differ too much have the reason."""
    return tuple(_pair(folders[0], folder, number, options) for number, folder in enumerate(folders[1:], 1))


def _pair(first: Path, other: Path, number: int, options: CompareOptions) -> Pair:
    try:
        found = compare(first, other, options)
    except UserError as error:
        return Pair(a=0, b=number, reason=str(error))
    return Pair(
        a=0,
        b=number,
        differences=tuple(
            _difference(f"{family}.{name}", value, found)
            for family, values in found.metrics.items()
            for name, value in values.quantities().items()
            if value.a is not None or value.b is not None
        ),
        findings=tuple(findings(found)),
        notes=(
            f"{found.a.compared} responses to {found.clusters} {found.unit} are compared.",
            *(
                f"They differ in {one.part}: {one.a} / {one.b}."
                for one in found.differs
                if one.allowed_by == "flag"
            ),
            *found.notes,
            f"Intervals: {found.methods.interval}. Test: {found.methods.test}. Correction: {found.methods.correction}.",
        ),
    )


def _difference(key: str, value: Compared, found: Comparison) -> Difference:
    return Difference(
        key=key,
        share=is_share(key),
        a=value.a,
        b=value.b,
        estimate=Estimate(
            value=value.difference,
            ci=value.ci,
            n=found.a.compared,
            higher_is_better=value.higher_is_better,
            reason=value.reason,
        ),
        p=value.p,
        p_holm=value.p_holm,
        outcome=value.outcome,
    )
