"""The categories of a dataset and those of the judge: which the judge knows, and which it reports."""

from collections.abc import Sequence

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.judge import Judge, NarrowedJudge


def check_objects(objects: Sequence[str], vocabulary: Sequence[str], where: str) -> None:
    """Raise a UserError, with `where`, for an object outside the vocabulary. An empty, open vocabulary has all."""
    for name in objects:
        if vocabulary and name not in vocabulary:
            raise UserError(f"{where}: unknown category {name!r}{did_you_mean(name, list(vocabulary))}")


def judged_objects(objects: Sequence[str], judge: Judge, where: str) -> tuple[str, ...]:
    """Return the objects that the judge reports. Raises UserError, with `where`, for one that it does not know."""
    check_objects(objects, judge.known if isinstance(judge, NarrowedJudge) else judge.vocabulary, where)
    return tuple(name for name in objects if not judge.vocabulary or name in judge.vocabulary)
