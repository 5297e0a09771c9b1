"""The files beside the scores of forgetting, computed again from a folder's files."""

from collections.abc import Mapping
from math import isclose
from typing import Any

from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES
from eidolon.benchmark.tasks.describe.work import JudgedWork
from eidolon.benchmark.verify.check.findings import DifferenceError
from eidolon.benchmark.verify.check.folder import FORGETTING, CheckedFolder
from eidolon.benchmark.verify.check.json_diff import walk
from eidolon.benchmark.verify.check.judging import RecordedJudge
from eidolon.benchmark.verify.check.scoring import work_again
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.metric import Forgetting

AGREEMENT = 1e-6
"""Relative: an odds ratio that little constrains, or its interval, may be in the thousands."""


def check_curves(folder: CheckedFolder, options: Mapping[str, str] | None) -> str:
    """The curves, controls and fits are those of the responses and the truth.

    What the judge makes of a sentence moved about is computed again where the judge can be made here.
    """
    settings = folder.settings
    if folder.kind != "describe" or Forgetting.family not in settings.metrics:
        return "nothing was asked about forgetting"
    work = work_again(folder, options)
    assert isinstance(work, JudgedWork)
    samples = work.judged(folder.lines(RESPONSES, Response), folder.lines(JUDGEMENTS, Judgement))
    if not samples:
        return "no response was scored"
    if not folder.has(FORGETTING):
        raise DifferenceError(f"{FORGETTING} is missing, or is no file")
    there = folder.document(FORGETTING, ForgettingDetail)
    known = not isinstance(work.judged_by, RecordedJudge)
    here = Forgetting(work.judged_by if known else None).detail(
        samples, signature=there.signature, seed=settings.seed, resamples=settings.resamples
    )
    left = set() if known else {"judge_position"}
    mine, theirs = (detail.model_dump(mode="json", by_alias=True, exclude=left) for detail in (here, there))
    if there.signature != folder.scores().signature:
        raise DifferenceError(f"{FORGETTING}: its signature is not that of the scores")
    found = [
        f"{'.'.join(place)} is {excerpt(old)} there and {excerpt(new)} from the files"
        for place, new, old in walk(mine, theirs)
        if not _close(new, old)
    ]
    if found:
        raise DifferenceError(found[0] + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""))
    return f"{FORGETTING} computed again{', except the judge by position' if left else ''}"


def _close(new: Any, old: Any) -> bool:
    return isinstance(new, float) and isinstance(old, float) and isclose(new, old, rel_tol=AGREEMENT)
