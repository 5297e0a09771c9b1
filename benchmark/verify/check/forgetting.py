"""What a run of the task `forget` measured beside its responses, computed again from what it wrote down on the way."""

from dataclasses import dataclass
from functools import lru_cache

from pydantic import BaseModel

from eidolon.benchmark.store.files import PDM, PDM_LINES, RESPONSES, RETENTION, RETENTION_LINES
from eidolon.benchmark.tasks.forget.dependency.stage import table_of
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.verify.check.findings import DifferenceError
from eidolon.benchmark.verify.check.folder import CheckedFolder
from eidolon.benchmark.verify.check.json_diff import walk
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import describe_judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.retention.measure import measure
from eidolon.scorers.retention.records import AnsweredContext


@dataclass(frozen=True, slots=True)
class RecomputedForgetting:
    """Both files as they follow from the lines; what took the model is as the folder says."""

    retention: RetentionDetail
    table: PdmTable


@lru_cache(maxsize=1)
def measured_again(folder: CheckedFolder) -> RecomputedForgetting:
    """Compute both files again, once for all checks of a folder. UncheckableErrors say what is missing."""
    settings = folder.settings
    there = folder.document(RETENTION, RetentionDetail)
    held = folder.lines(RETENTION_LINES, AnsweredContext)
    found = measure(held, seed=settings.seed, resamples=settings.resamples)
    retention = there.model_copy(
        update={
            "signature": folder.scores().signature,
            "lengths": tuple(sorted(set(settings.run.lengths))) if settings.run else there.lengths,
            "images": len({one.image_id for one in held}),
            "findings": found.findings,
            "points": found.points,
        }
    )
    if settings.run and (told := settings.run.trained_length) is not None:
        retention = retention.model_copy(update={"trained_tokens": told})
    table = table_of(
        folder.lines(PDM_LINES, Dependence),
        _reader(folder),
        seed=settings.seed,
        resamples=settings.resamples,
    )
    return RecomputedForgetting(retention, table)


def check_forgetting(folder: CheckedFolder) -> str:
    """`retention.json` and `pdm.json` say what their lines say, and every sample has its line in `pdm.jsonl`."""
    _check_lines(folder)
    again = measured_again(folder)
    _compare(RETENTION, again.retention, folder.document(RETENTION, RetentionDetail))
    _compare(PDM, again.table, folder.document(PDM, PdmTable))
    return (
        f"{RETENTION} from {len(folder.lines(RETENTION_LINES, AnsweredContext))} contexts, "
        f"{PDM} from {again.table.responses} responses; "
        "which contexts there were to be takes the model"
    )


def _check_lines(folder: CheckedFolder) -> None:
    first: dict[str, Response] = {}
    for response in folder.lines(RESPONSES, Response):
        first.setdefault(response.sample_id, response)
    lines = folder.lines(PDM_LINES, Dependence)
    wanted = [(sample_id, first[sample_id].generation) for sample_id in folder.record.sample_ids]
    if [(line.sample_id, line.generation) for line in lines] != wanted:
        raise DifferenceError(f"{PDM_LINES}: does not hold the first response to each sample, in order")
    for number, line in enumerate(lines, 1):
        response = first[line.sample_id]
        if line.image_id != response.image_id:
            raise DifferenceError(
                f"{PDM_LINES}:{number}: image {excerpt(line.image_id)} is not that of the response"
            )
        if response.response is None and line.left_out is None:
            raise DifferenceError(f"{PDM_LINES}:{number}: there is no response, and it was read")
    ids = {*folder.record.sample_ids}
    for number, one in enumerate(folder.lines(RETENTION_LINES, AnsweredContext), 1):
        if one.sample_id not in ids or one.image_id != first[one.sample_id].image_id:
            raise DifferenceError(
                f"{RETENTION_LINES}:{number}: sample {excerpt(one.sample_id)} is not one of the run, "
                "or has another image"
            )


def _reader(folder: CheckedFolder) -> str:
    """Return the signature of the judge that finds the mentions: the careful reading of the run's lexicon."""
    settings = folder.loaded.signature.judge_settings | {"reading": "careful"}
    return describe_judge(folder.settings.chosen.judge, settings)


def _compare(name: str, here: BaseModel, there: BaseModel) -> None:
    mine, theirs = (one.model_dump(mode="json", by_alias=True) for one in (here, there))
    for place, new, old in walk(mine, theirs):
        raise DifferenceError(
            f"{name}: {'.'.join(place)} is {excerpt(old)} there and {excerpt(new)} from the lines"
        )
