"""What `eidolon compare` reads of the probe of knowledge of a run."""

from collections.abc import Sequence
from pathlib import Path

from eidolon.benchmark.store.files import KNOWLEDGE, KNOWLEDGE_LINES
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.tasks.forget.knowledge.detail import KnowledgeDetail
from eidolon.benchmark.tasks.forget.knowledge.stage import alarms_of
from eidolon.benchmark.tasks.forget.measurement import first_of_each
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.forgetting.knowledge_difference import KnownRun, compare_positions
from eidolon.scorers.forgetting.knowledge_records import ProbedImage
from eidolon.scorers.statistics.comparison import Compared

GIVEN_KNOWLEDGE = "position_given_knowledge"
FORGETTING = "forgetting"


def has_knowledge(path: Path) -> bool:
    """Tell whether a run folder has the probe of knowledge."""
    return (path / KNOWLEDGE).is_file() and (path / KNOWLEDGE_LINES).is_file()


def compare_known(
    paths: Sequence[Path], samples: Sequence[Sequence[JudgedSample]], seed: int, resamples: int
) -> dict[str, Compared]:
    """Return the comparison of two runs' position given knowledge, on the same judged samples.

    Raises:
        UserError: a run has no probe.
    """
    a, b = (known_run(path, each) for path, each in zip(paths, samples, strict=True))
    return {GIVEN_KNOWLEDGE: compare_positions(a, b, seed=seed, resamples=resamples)}


def known_run(path: Path, samples: Sequence[JudgedSample]) -> KnownRun:
    """Return the probe of a run with its judged samples.

    Raises:
        UserError: the run has no probe.
    """
    if not has_knowledge(path):
        raise UserError(
            f"{path}: has no {KNOWLEDGE}, so {FORGETTING}.{GIVEN_KNOWLEDGE} cannot be compared; "
            "run --task forget without --skip knowledge"
        )
    run = load_run(path)
    place = run.document(KNOWLEDGE, KnowledgeDetail).judge_position
    # In the order of the run, the fit has the same draws as in its scores.
    order = {sample_id: i for i, sample_id in enumerate(run.record.sample_ids)}
    ordered = sorted(samples, key=lambda one: (order[one.response.sample_id], one.response.generation))
    return KnownRun(run.lines(KNOWLEDGE_LINES, ProbedImage), first_of_each(ordered), alarms_of(place))
