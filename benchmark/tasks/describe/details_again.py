"""The files of metrics that have one, computed again: curves, controls and fits of forgetting, and its rivals.

`checks` imports it where a run has such a file: the models that are fitted take long to import.
"""

from collections.abc import Sequence
from math import isclose
from typing import Any

from eidolon.benchmark.tasks.checking.json_diff import walk
from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.metric import Forgetting
from eidolon.scorers.forgetting.rivals.metric import RivalExplanations
from eidolon.scorers.forgetting.rivals.table import Rivals

DETAILS: dict[str, tuple[type[ForgettingDetail | Rivals], type[Forgetting | RivalExplanations]]] = {
    Forgetting.family: (ForgettingDetail, Forgetting),
    RivalExplanations.family: (Rivals, RivalExplanations),
}
"""The file and the metric of each family."""
ADDED = ("added_per_100_words", "added_standard_error")
"""Fields that files of earlier versions lack."""
AGREEMENT = 1e-6
"""Relative: an odds ratio that little constrains, or its interval, may be in the thousands."""


def compare_details(
    run: CheckedRun, family: str, samples: Sequence[JudgedSample], judge: Judge | None
) -> None:
    """Compute the file of a metric again. Without the judge, what depends on its test is left out.

    Raises:
        DifferenceError: the file is missing, or differs.
    """
    record, metric = DETAILS[family]
    file, settings = f"{family}.json", run.settings
    if not run.has(file):
        raise DifferenceError(f"{file} is missing, or is no file")
    there = run.document(file, record)
    here = metric(judge).detail(
        samples, signature=there.signature, seed=settings.seed, resamples=settings.resamples
    )
    left = {"judge_position"} if judge is None else set()
    if judge is None and isinstance(here, Rivals):
        left |= {"rivals", "sentence"}  # one of the rivals is the judge; `scores.json` has the others
    mine, theirs = (detail.model_dump(mode="json", by_alias=True, exclude=left) for detail in (here, there))
    if there.signature != run.scores().signature:
        raise DifferenceError(f"{file}: its signature is not that of the scores")
    found = [
        f"{'.'.join(place)} is {excerpt(old)} there and {excerpt(new)} from the files"
        for place, new, old in walk(mine, theirs)
        if not _close(new, old) and not _of_an_earlier_version(place[-1], old)
    ]
    if found:
        raise DifferenceError(found[0] + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""))


def _close(new: Any, old: Any) -> bool:
    return isinstance(new, float) and isinstance(old, float) and isclose(new, old, rel_tol=AGREEMENT)


def _of_an_earlier_version(field: str, old: Any) -> bool:
    """Return whether a difference is one between versions: the fit has another label, or the file lacks a field."""
    return (field == "label" and old == "adjusted") or (field in ADDED and old is None)
