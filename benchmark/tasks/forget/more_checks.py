"""The checks of what `forget` measures beside retention and dependence: knowledge, the cloze, interventions."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from eidolon.benchmark.store.files import (
    ATTENTION,
    ATTENTION_LINES,
    CLOZE,
    CLOZE_LINES,
    INTERVENTIONS,
    INTERVENTIONS_LINES,
    JUDGEMENTS,
    KNOWLEDGE,
    KNOWLEDGE_LINES,
    RESPONSES,
    SAMPLES,
)
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskFile
from eidolon.benchmark.tasks.checking.json_diff import walk
from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.describe.work import JudgedWork
from eidolon.benchmark.tasks.forget.attention.detail import AttentionDetail
from eidolon.benchmark.tasks.forget.attention.detail import quantities as attention_quantities
from eidolon.benchmark.tasks.forget.cloze.detail import ClozeDetail
from eidolon.benchmark.tasks.forget.cloze.detail import quantities as cloze_quantities
from eidolon.benchmark.tasks.forget.cloze.stage import measure_again
from eidolon.benchmark.tasks.forget.continued_turns import read_turn
from eidolon.benchmark.tasks.forget.interventions.detail import InterventionsDetail
from eidolon.benchmark.tasks.forget.interventions.detail import quantities as intervention_quantities
from eidolon.benchmark.tasks.forget.knowledge.design import make_candidates
from eidolon.benchmark.tasks.forget.knowledge.detail import KnowledgeDetail
from eidolon.benchmark.tasks.forget.knowledge.detail import quantities as knowledge_quantities
from eidolon.benchmark.tasks.forget.knowledge.stage import detail_of
from eidolon.benchmark.tasks.forget.measurement import first_of_each, truths
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.scores import Scores, with_quantities
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.attention import AttentionLine, measure_attention
from eidolon.scorers.forgetting.cloze import ClozeContext
from eidolon.scorers.forgetting.interventions import InterventionTurn, measure_interventions
from eidolon.scorers.forgetting.knowledge_records import ProbedImage

FAMILY = "forgetting"
MORE_MEASURED = (
    TaskFile(KNOWLEDGE_LINES, ProbedImage, required=False),
    TaskFile(KNOWLEDGE, KnowledgeDetail, required=False),
    TaskFile(CLOZE_LINES, ClozeContext, required=False),
    TaskFile(CLOZE, ClozeDetail, required=False),
    TaskFile(INTERVENTIONS_LINES, InterventionTurn, required=False),
    TaskFile(INTERVENTIONS, InterventionsDetail, required=False),
    TaskFile(ATTENTION_LINES, AttentionLine, required=False),
    TaskFile(ATTENTION, AttentionDetail, required=False),
)
"""Files of the measurements that `--skip` can leave out."""


def more_checks(run: CheckedRun, work: Callable[[], JudgedWork]) -> dict[str, Callable[[], str]]:
    """Return the check of each document that is there, by name."""
    found: dict[str, Callable[[], str]] = {}
    if run.has(KNOWLEDGE):
        found["knowledge"] = lambda: check_knowledge(run, _judged(run, work()))
    if run.has(CLOZE):
        found["cloze"] = lambda: check_cloze(run)
    if run.has(INTERVENTIONS):
        found["interventions"] = lambda: check_interventions(run)
    if run.has(ATTENTION):
        found["attention"] = lambda: check_attention(run)
    return found


def with_more(run: CheckedRun, work: JudgedWork, scores: Scores) -> Scores:
    """Return the scores with the numbers of the documents that are there, computed from their lines."""
    values: dict[str, Estimate] = {}
    if run.has(KNOWLEDGE):
        values |= knowledge_quantities(_knowledge(run, _judged(run, work)).found)
    if run.has(CLOZE):
        values |= cloze_quantities(_cloze(run).found)
    if run.has(INTERVENTIONS):
        values |= intervention_quantities(_interventions(run).found)
    if run.has(ATTENTION):
        values |= attention_quantities(_attention(run).found)
    return with_quantities(scores, FAMILY, values) if values else scores


def check_knowledge(run: CheckedRun, judged: Sequence[JudgedSample]) -> str:
    """`knowledge.json` says what its lines say, and every image was asked about its candidates."""
    wanted = make_candidates(run.lines(SAMPLES, SampleRow), run.settings.seed)
    lines = run.lines(KNOWLEDGE_LINES, ProbedImage)
    if [line.sample_id for line in lines] != [*wanted]:
        raise DifferenceError(f"{KNOWLEDGE_LINES}: does not hold every sample with a true object, in order")
    for number, line in enumerate(lines, 1):
        one = wanted[line.sample_id]
        asked = tuple((found.about, found.truth) for found in line.objects)
        if line.error is None and (asked, line.unasked) != (one.objects, one.unasked):
            raise DifferenceError(f"{KNOWLEDGE_LINES}:{number}: other objects were to be asked about")
    compare(KNOWLEDGE, _knowledge(run, judged), run.document(KNOWLEDGE, KnowledgeDetail))
    return f"{KNOWLEDGE} from the answers about {len(lines)} images"


def check_cloze(run: CheckedRun) -> str:
    """`cloze.json` says what its lines say, about names of the samples' candidates."""
    lines = run.lines(CLOZE_LINES, ClozeContext) if run.has(CLOZE_LINES) else []
    asked = make_candidates(run.lines(SAMPLES, SampleRow), run.settings.seed)
    for number, line in enumerate(lines, 1):
        one = asked.get(line.sample_id)
        scored = {(name.about, name.truth) for name in line.names}
        if one is None or not scored <= set(one.objects) or line.image_id != one.image_id:
            raise DifferenceError(
                f"{CLOZE_LINES}:{number}: scores names that are no candidates of the sample"
            )
    compare(CLOZE, _cloze(run), run.document(CLOZE, ClozeDetail))
    return f"{CLOZE} from {len(lines)} contexts"


def check_interventions(run: CheckedRun) -> str:
    """`interventions.json` says what its lines say."""
    compare(INTERVENTIONS, _interventions(run), run.document(INTERVENTIONS, InterventionsDetail))
    count = len(run.lines(INTERVENTIONS_LINES, InterventionTurn)) if run.has(INTERVENTIONS_LINES) else 0
    return f"{INTERVENTIONS} from {count} turns"


def check_attention(run: CheckedRun) -> str:
    """`attention.json` says what its lines say."""
    compare(ATTENTION, _attention(run), run.document(ATTENTION, AttentionDetail))
    return f"{ATTENTION} from {len(run.lines(ATTENTION_LINES, AttentionLine))} responses"


def compare_changed(run: CheckedRun, judge: Judge) -> str:
    """Judge the turns again that were changed during generation."""
    rows = {row.sample_id: row for row in run.lines(SAMPLES, SampleRow)}
    lines = run.lines(INTERVENTIONS_LINES, InterventionTurn)
    for number, line in enumerate(lines, 1):
        if line.planted is not None and line.planted in rows[line.sample_id].objects:
            raise DifferenceError(f"{INTERVENTIONS_LINES}:{number}: plants an object that is in the picture")
        if read_turn(line, judge, rows[line.sample_id].objects) != line:
            raise DifferenceError(
                f"{INTERVENTIONS_LINES}:{number}: other mentions, or another reason why there are none"
            )
    return f", and of {len(lines)} turns that were changed"


def compare(name: str, here: BaseModel, there: BaseModel) -> None:
    """Compare a document with the one made again. Raises DifferenceError at the first difference."""
    mine, theirs = (one.model_dump(mode="json", by_alias=True) for one in (here, there))
    for place, new, old in walk(mine, theirs):
        raise DifferenceError(
            f"{name}: {'.'.join(place)} is {excerpt(old)} there and {excerpt(new)} from the lines"
        )


def _judged(run: CheckedRun, work: JudgedWork) -> Sequence[JudgedSample]:
    return work.judged(run.lines(RESPONSES, Response), run.lines(JUDGEMENTS, Judgement))


def _knowledge(run: CheckedRun, judged: Sequence[JudgedSample]) -> KnowledgeDetail:
    lines = run.lines(KNOWLEDGE_LINES, ProbedImage)
    # How the judge reads a moved sentence takes the judge. It is as the document says.
    place = run.document(KNOWLEDGE, KnowledgeDetail).judge_position
    first, signature = first_of_each(judged), run.scores().signature
    return detail_of(lines, first, signature, seed=run.settings.seed, place=place)


def _cloze(run: CheckedRun) -> ClozeDetail:
    """Return `cloze.json` from its lines. Why there are none, and which are missing, takes the model."""
    there = run.document(CLOZE, ClozeDetail)
    settings = run.settings
    update: dict[str, object] = {"signature": run.scores().signature}
    if run.has(CLOZE_LINES):
        lines = run.lines(CLOZE_LINES, ClozeContext)
        update["found"] = measure_again(lines, seed=settings.seed, resamples=settings.resamples)
    return there.model_copy(update=update)


def _attention(run: CheckedRun) -> AttentionDetail:
    """Return `attention.json` from its lines."""
    settings = run.settings
    lines = run.lines(ATTENTION_LINES, AttentionLine)
    found = measure_attention(lines, seed=settings.seed, resamples=settings.resamples)
    return run.document(ATTENTION, AttentionDetail).model_copy(
        update={"signature": run.scores().signature, "found": found}
    )


def _interventions(run: CheckedRun) -> InterventionsDetail:
    """Return `interventions.json` from its lines. Why there are none, and which are missing, takes the model."""
    there = run.document(INTERVENTIONS, InterventionsDetail)
    settings = run.settings
    update: dict[str, object] = {"signature": run.scores().signature}
    if run.has(INTERVENTIONS_LINES):
        update["found"] = measure_interventions(
            run.lines(INTERVENTIONS_LINES, InterventionTurn),
            truths(run.lines(SAMPLES, SampleRow)),
            seed=settings.seed,
            resamples=settings.resamples,
        )
    return there.model_copy(update=update)
