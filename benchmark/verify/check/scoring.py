"""Scores computed again by the task from a folder's files, and compared."""

from eidolon.benchmark.store.files import RUN, SCORES
from eidolon.benchmark.tasks.checking.checks import (
    COUNTS,
    INTERVALS,
    PARTS_OF_SCORES,
    TOTALS,
    VALUES,
    VARIANTS,
    Recomputed,
)
from eidolon.benchmark.tasks.checking.json_diff import walk
from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import describe_judge
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import PARTS


def differences(here: Recomputed, there: Scores) -> dict[str, list[str]]:
    """Return what differs between scores computed here and those of a folder, in words, by check."""
    found: dict[str, list[str]] = {name: [] for name in PARTS_OF_SCORES}
    mine = here.scores.model_dump(mode="json", by_alias=True)
    theirs = there.model_dump(mode="json", by_alias=True)
    for place, new, old in walk(mine, theirs):
        check = _check_of(place)
        if check is not None and check not in here.unknown:
            found[check].append(
                f"{'.'.join(place)} is {excerpt(old)} there and {excerpt(new)} from the files"
            )
    return found


def check_signature(here: Recomputed, run: CheckedRun) -> str:
    """The signature is the same in both files, and follows from the configuration and the files."""
    signature, line = run.signature, run.scores().signature
    if line != signature.line():
        raise DifferenceError(
            f"{SCORES} has the signature {excerpt(line, 150)}, {RUN} {excerpt(signature.line(), 150)}"
        )
    if settings := signature.judge_settings:
        named = describe_judge(run.settings.chosen.judge, settings)
        if named != signature.judge:
            raise DifferenceError(
                f"judge is {excerpt(signature.judge, 120)} there and {excerpt(named, 120)} from its settings"
            )
    parts = signature.parts()
    for part in PARTS:
        if part in here.rebuilt and parts.get(part) != here.rebuilt[part]:
            raise DifferenceError(
                f"{part} is {excerpt(parts.get(part), 120)} there and {excerpt(here.rebuilt[part], 120)} here"
            )
    if "truth" in parts and signature.truth != run.settings.inputs.annotator:
        raise DifferenceError(
            f"truth is {excerpt(signature.truth, 120)} there and {excerpt(run.settings.inputs.annotator, 120)} in its "
            "configuration"
        )
    left = [part for part in PARTS if part not in here.rebuilt and part not in ("truth", "measures")]
    return f"rebuilt{', except ' + ', '.join(left) + ', which take the input files' if left else ''}"


def _check_of(place: tuple[str, ...]) -> str | None:
    """Return which check a field of `scores.json` belongs to."""
    first = place[0]
    if first in ("signature", "schema"):
        return None
    if first == "n":
        return TOTALS
    if first == VARIANTS:
        return VARIANTS
    if first == "intervals" or "ci" in place[2:] or place[-1] in ("method", "undefined_resamples"):
        return INTERVALS
    return VALUES if first == "metrics" and "counts" not in place[2:] else COUNTS
