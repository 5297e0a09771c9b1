"""The judge named in a run, made again here, and its judgements beside those of the folder.

Only judges that read by rules are made from what a folder says: others would load models that a stranger names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from eidolon.benchmark.store.files import JUDGEMENTS, ORDERS_LINES, QUESTIONS, RESPONSES, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.forced_orders.design import chosen, sentence
from eidolon.benchmark.tasks.forget.forced_orders.stage import read_turn
from eidolon.benchmark.tasks.plugins import make_judge, matches_references, why_not_remade
from eidolon.benchmark.tasks.probe.answers import Probe
from eidolon.benchmark.tasks.probe.questions import Built
from eidolon.benchmark.tasks.rows import QuestionRow
from eidolon.benchmark.verify.check.findings import DifferenceError, UncheckableError
from eidolon.benchmark.verify.check.folder import CheckedFolder
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Evidence, Judge, OpenJudge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.forced_orders import ForcedTurn
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.judges.matching import decide


@dataclass(slots=True)
class RecordedJudge:
    """What a folder tells of a judge: enough for metrics over judgements that exist."""

    name: str
    vocabulary: tuple[str, ...]
    text: str

    def signature(self) -> str:
        """Return the signature, as recorded."""
        return self.text

    def judge(self, responses: Iterable[Response]) -> Iterable[Judgement]:
        """Raise: a recorded judge cannot judge."""
        raise NotImplementedError(f"{self.name} is only recorded")


@dataclass(slots=True)
class RecordedVoter(RecordedJudge):
    """The same of one with several votes."""

    judges: tuple[str, ...]
    formats: tuple[str, ...]
    threshold: int

    def reader(self) -> Judge | None:
        """Return who says where a category is named: the careful lexicon of those categories."""
        return LexiconJudge("careful", "coco80", self.vocabulary)


def probe_of(folder: CheckedFolder) -> Probe:
    """Return the questions of a probe, as the folder holds them."""
    settings = folder.settings
    rows = tuple(folder.lines(QUESTIONS, QuestionRow))
    images, left_out = (settings.task_input(name, int) or 0 for name in ("images", "left_out"))
    return Probe(Built(rows, {}, images, left_out), settings.splits, settings.policies)


def make_again(folder: CheckedFolder, options: Mapping[str, str] | None) -> Judge:
    """Return the run's judge, made here from the user's `-J` options, or from what its signature says.

    UncheckableError where that gives no judge with the recorded signature.
    """
    if folder.kind == "probe":
        return probe_of(folder).judge()
    name, signature = _recorded(folder)
    if options is None:
        options = folder.settings.chosen.judge_options
        if reason := why_not_remade(name, options):
            raise UncheckableError(
                f"judge {excerpt(name)} is not made from a run folder: {reason}; -J, or --rejudge, makes it here"
            )
    try:
        judge = _made(name, tuple(sorted(options.items())))
    except UserError as error:
        raise UncheckableError(f"judge {excerpt(name)} cannot be made here: {error}") from error
    if judge.signature() != signature:
        raise UncheckableError(
            f"the judge made here is {judge.signature()}, the run's {excerpt(signature, 200)}; give its "
            "options with -J"
        )
    return judge


def _recorded(folder: CheckedFolder) -> tuple[str, str]:
    """Return name and signature of the run's judge."""
    signature = folder.settings.inputs.judge
    if signature is None or folder.kind in ("throne", "pope", "amber"):
        raise UncheckableError("runs of this kind have no judge")
    return folder.settings.chosen.judge, signature


def recorded_judge(folder: CheckedFolder) -> RecordedJudge:
    """Return a replacement for the run's judge where it cannot be made."""
    name, signature = _recorded(folder)
    scores = folder.scores()
    families = [*scores.metrics.values()]
    vocabulary = next((tuple(f.per_category) for f in families if f.per_category is not None), ())
    calibration = scores.calibration
    if calibration is None:
        return RecordedJudge(name, vocabulary, signature)
    formats = calibration.formats or tuple(str(i + 1) for i in range(len(calibration.yes_rate_by_format)))
    judges, threshold = tuple(calibration.judges), calibration.threshold
    return RecordedVoter(name, vocabulary, signature, judges, formats, threshold)


def check_judge(folder: CheckedFolder, options: Mapping[str, str] | None) -> str:
    """Judge the responses again, and compare mention by mention."""
    if folder.kind in ("throne", "pope", "amber"):
        raise UncheckableError("runs of this kind hold answers that were read, not judged")
    judge = make_again(folder, options)
    responses = folder.lines(RESPONSES, Response)
    there = folder.lines(JUDGEMENTS, Judgement)
    if folder.kind == "detection":
        if isinstance(judge, OpenJudge):
            raise UncheckableError("verdicts stand on references, which the folder does not hold")
        here = list(judge.judge(responses))
        _compare(here, [_without_verdicts(judgement) for judgement in there])
        return f"{judge.signature()} finds the same in all {len(here)} responses; verdicts take the objects"
    rows = {row.sample_id: row for row in folder.lines(SAMPLES, SampleRow)}
    if matches_references(judge) and not any(row.references for row in rows.values()):
        raise UncheckableError("verdicts stand on references, which the folder does not hold")
    known = {key: Evidence(frozenset(row.objects), row.references) for key, row in rows.items()}
    here = decide(judge, judge.judge(responses), [known[r.sample_id] for r in responses])
    _compare(here, there)
    begun = _compare_turns(folder, judge) if folder.has(ORDERS_LINES) else ""
    return f"{judge.signature()} says the same of all {len(here)} responses{begun}"


def _compare_turns(folder: CheckedFolder, judge: Judge) -> str:
    """Judge the turns again that were begun for the model."""
    rows = {row.sample_id: row for row in folder.lines(SAMPLES, SampleRow)}
    lines = folder.lines(ORDERS_LINES, ForcedTurn)
    for number, line in enumerate(lines, 1):
        row = rows[line.sample_id]
        if line.named != chosen(row)[line.order] or not line.given.endswith(sentence(line.named)):
            raise DifferenceError(f"{ORDERS_LINES}:{number}: does not begin with the {line.order} objects")
        if read_turn(line, judge, row.objects) != line:
            raise DifferenceError(
                f"{ORDERS_LINES}:{number}: other mentions, or another reason why there are none"
            )
    return f", and of {len(lines)} turns that were begun for the model"


@lru_cache(maxsize=4)
def _made(name: str, options: tuple[tuple[str, str], ...]) -> Judge:
    """Make a judge once for all checks and runs: they keep nothing of what they have read."""
    return make_judge(name, dict(options))


def _compare(here: Sequence[Judgement], there: Sequence[Judgement]) -> None:
    for number, (new, old) in enumerate(zip(here, there, strict=True), 1):
        if new != old:
            raise DifferenceError(f"{JUDGEMENTS}:{number}: {_difference(new, old)}")


def _difference(new: Judgement, old: Judgement) -> str:
    if new.unscored != old.unscored:
        return f"unscored is {excerpt(old.unscored)} there and {excerpt(new.unscored)} here"
    for position, (mine, theirs) in enumerate(zip(new.mentions, old.mentions, strict=False), 1):
        for field in type(mine).model_fields:
            if getattr(mine, field) != getattr(theirs, field):
                return (
                    f"mention {position}: {field} is {excerpt(getattr(theirs, field))} there and "
                    f"{excerpt(getattr(mine, field))} here"
                )
    if len(new.mentions) != len(old.mentions):
        return f"{len(old.mentions)} mentions there and {len(new.mentions)} here"
    return "other votes, or other ids"


def _without_verdicts(judgement: Judgement) -> Judgement:
    mentions = tuple(mention.model_copy(update={"verdict": None}) for mention in judgement.mentions)
    return judgement.model_copy(update={"mentions": mentions})
