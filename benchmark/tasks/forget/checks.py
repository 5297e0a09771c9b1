"""What a run of the task `forget` measured beside its responses, computed again from what it wrote down on the way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from eidolon.benchmark.store.files import (
    INTERVENTIONS_LINES,
    JUDGEMENTS,
    KNOWLEDGE,
    ORDERS_LINES,
    PDM,
    PDM_LINES,
    RESPONSES,
    RETENTION,
    RETENTION_LINES,
    SAMPLES,
)
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import Options, TaskFile
from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.describe.checks import JudgedChecks
from eidolon.benchmark.tasks.describe.work import JudgedWork
from eidolon.benchmark.tasks.forget.continued_turns import read_turn
from eidolon.benchmark.tasks.forget.dependency.stage import table_of
from eidolon.benchmark.tasks.forget.forced_orders.design import chosen, sentence
from eidolon.benchmark.tasks.forget.forced_orders.detail import FAMILY, REPORTED, with_orders
from eidolon.benchmark.tasks.forget.measurement import first_of_each, truths
from eidolon.benchmark.tasks.forget.more_checks import (
    MORE_MEASURED,
    compare,
    compare_changed,
    more_checks,
    with_more,
)
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.tasks.forget.stage import with_forgetting
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge, describe_judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.forgetting.forced_orders import ForcedTurn, OrdersSummary, measure_orders, no_orders
from eidolon.scorers.forgetting.knowledge import MEASURE
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.retention.measure import measure
from eidolon.scorers.retention.records import AnsweredContext
from eidolon.scorers.text.reading_careful import CAREFUL

MEASURED = (
    TaskFile(RETENTION_LINES, AnsweredContext),
    TaskFile(RETENTION, RetentionDetail),
    TaskFile(PDM_LINES, Dependence),
    TaskFile(PDM, PdmTable),
    TaskFile(ORDERS_LINES, ForcedTurn, required=False),
    *MORE_MEASURED,
)
"""The files of the measurements; without objects of two sizes there are no turns with a forced order."""


class ForgetChecks(JudgedChecks):
    """Descriptions as in `describe`, and the measurements with the model."""

    def judge(self, run: CheckedRun, options: Options | None) -> str:
        """Judge the responses again, and the turns that were begun for the model."""
        found = super().judge(run, options)
        if run.has(ORDERS_LINES):
            found += _compare_turns(run, self.make_judge(run, options))
        if run.has(INTERVENTIONS_LINES):
            found += compare_changed(run, self.make_judge(run, options))
        return found

    def measurements(self, run: CheckedRun) -> Mapping[str, Callable[[], str]]:
        """Return the check of `retention.json` and `pdm.json`."""
        return {"forgetting": lambda: check_forgetting(run)} | more_checks(run, lambda: self.work(run, None))

    def signature(self, run: CheckedRun, judge: Judge, policy: str) -> Signature:
        """Return the signature, with the version of the measure that takes the probe of knowledge."""
        measures = MEASURE if run.has(KNOWLEDGE) else None
        return super().signature(run, judge, policy).model_copy(update={"measures": measures})

    def scores(self, run: CheckedRun, work: JudgedWork) -> Scores:
        """Return the scores of the descriptions with those of the measurements."""
        again = measured_again(run)
        judged = work.judged(run.lines(RESPONSES, Response), run.lines(JUDGEMENTS, Judgement))
        scores = with_forgetting(
            super().scores(run, work), again.retention.points, again.retention.trained_tokens, again.table
        )
        scores = with_orders(scores, _orders(run, work, judged))
        return with_more(run, work, scores)


@dataclass(frozen=True, slots=True)
class RecomputedForgetting:
    """Both files as they follow from the lines; what took the model is as the folder says."""

    retention: RetentionDetail
    table: PdmTable


@lru_cache(maxsize=1)
def measured_again(run: CheckedRun) -> RecomputedForgetting:
    """Compute both files again, once for all checks of a folder. UncheckableErrors say what is missing."""
    settings = run.settings
    there = run.document(RETENTION, RetentionDetail)
    held = run.lines(RETENTION_LINES, AnsweredContext)
    found = measure(held, seed=settings.seed, resamples=settings.resamples)
    retention = there.model_copy(
        update={
            "signature": run.scores().signature,
            "lengths": tuple(sorted(set(settings.of_a_model.lengths))),
            "images": len({one.image_id for one in held}),
            "findings": found.findings,
            "points": found.points,
        }
    )
    if (told := settings.of_a_model.trained_length) is not None:
        retention = retention.model_copy(update={"trained_tokens": told})
    table = table_of(
        run.lines(PDM_LINES, Dependence),
        _reader(run),
        seed=settings.seed,
        resamples=settings.resamples,
    )
    return RecomputedForgetting(retention, table)


def check_forgetting(run: CheckedRun) -> str:
    """`retention.json` and `pdm.json` say what their lines say, and every sample has its line in `pdm.jsonl`."""
    _check_lines(run)
    again = measured_again(run)
    compare(RETENTION, again.retention, run.document(RETENTION, RetentionDetail))
    compare(PDM, again.table, run.document(PDM, PdmTable))
    return (
        f"{RETENTION} from {len(run.lines(RETENTION_LINES, AnsweredContext))} contexts, "
        f"{PDM} from {again.table.responses} responses; "
        "which contexts there were to be takes the model"
    )


def _check_lines(run: CheckedRun) -> None:
    first: dict[str, Response] = {}
    for response in run.lines(RESPONSES, Response):
        first.setdefault(response.sample_id, response)
    lines = run.lines(PDM_LINES, Dependence)
    wanted = [(sample_id, first[sample_id].generation) for sample_id in run.record.sample_ids]
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
    ids = {*run.record.sample_ids}
    for number, one in enumerate(run.lines(RETENTION_LINES, AnsweredContext), 1):
        if one.sample_id not in ids or one.image_id != first[one.sample_id].image_id:
            raise DifferenceError(
                f"{RETENTION_LINES}:{number}: sample {excerpt(one.sample_id)} is not one of the run, "
                "or has another image"
            )


def _compare_turns(run: CheckedRun, judge: Judge) -> str:
    """Judge the turns again that were begun for the model."""
    rows = {row.sample_id: row for row in run.lines(SAMPLES, SampleRow)}
    lines = run.lines(ORDERS_LINES, ForcedTurn)
    for number, line in enumerate(lines, 1):
        row = rows[line.sample_id]
        if line.named != chosen(row)[line.order] or not line.given.endswith(sentence(line.named)):
            raise DifferenceError(f"{ORDERS_LINES}:{number}: does not begin with the {line.order} objects")
        if read_turn(line, judge, row.objects) != line:
            raise DifferenceError(
                f"{ORDERS_LINES}:{number}: other mentions, or another reason why there are none"
            )
    return f", and of {len(lines)} turns that were begun for the model"


def _orders(run: CheckedRun, work: JudgedWork, judged: Sequence[JudgedSample]) -> OrdersSummary:
    """Return what forced orders say, from their turns; without any, the reason is the one that is told."""
    if not run.has(ORDERS_LINES):
        there = run.scores().metrics.get(FAMILY)
        told = {} if there is None else there.quantities()
        reasons = [told[name].reason for name in REPORTED if name in told]
        return no_orders(next(filter(None, reasons), f"{ORDERS_LINES} is not there"))
    return measure_orders(
        run.lines(ORDERS_LINES, ForcedTurn),
        truths(work.samples),
        first_of_each(judged),
        seed=work.seed,
        resamples=work.resamples,
    )


def _reader(run: CheckedRun) -> str:
    """Return the signature of the judge that finds the mentions: the careful reading of the run's lexicon."""
    settings = run.loaded.signature.judge_settings | {"reading": CAREFUL}
    return describe_judge(run.settings.chosen.judge, settings)
