"""The judge named in a run, made again here, and its judgements beside those of the folder.

Only judges that read by rules are made from what a folder says: others would load models that a stranger names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from eidolon.benchmark.store.files import JUDGEMENTS
from eidolon.benchmark.tasks.checking.checks import Options
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.plugins import make_judge, why_not_remade
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.text.answer import VERSION, TextRules


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
        """Raise an UncheckableError: a recorded judge cannot judge."""
        raise UncheckableError(f"judge {excerpt(self.name)} is only recorded, and was not made here")


@dataclass(slots=True)
class RecordedVoter(RecordedJudge):
    """The same of one with several votes."""

    judges: tuple[str, ...]
    formats: tuple[str, ...]
    threshold: int

    def reader(self) -> Judge | None:
        """Return who says where a category is named: the careful lexicon of those categories."""
        return LexiconJudge("careful", "coco80", self.vocabulary)


def make_again(run: CheckedRun, options: Options | None) -> Judge:
    """Return the run's judge, made here from the user's `-J` options, or from what its signature says.

    Raises:
        UncheckableError: that gives no judge with the recorded signature.
    """
    name, signature = _recorded(run)
    if options is None:
        options = run.settings.chosen.judge_options
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


def recorded_judge(run: CheckedRun) -> RecordedJudge:
    """Return a replacement for the run's judge where it cannot be made.

    Raises:
        UncheckableError: the run names no judge, or has no scores.
    """
    name, signature = _recorded(run)
    scores = run.scores()
    families = [*scores.metrics.values()]
    vocabulary = next((tuple(f.per_category) for f in families if f.per_category is not None), ())
    calibration = scores.calibration
    if calibration is None:
        return RecordedJudge(name, vocabulary, signature)
    formats = calibration.formats or tuple(str(i + 1) for i in range(len(calibration.yes_rate_by_format)))
    judges, threshold = tuple(calibration.judges), calibration.threshold
    return RecordedVoter(name, vocabulary, signature, judges, formats, threshold)


def rules_of(run: CheckedRun) -> TextRules:
    """Return the rules from the run's responses to the text that was judged."""
    raw = run.settings.inputs.text is None
    return TextRules("raw" if raw else "clean", run.settings.chosen.last_sentence)


def judge_again(run: CheckedRun, judge: Judge, responses: Sequence[Response]) -> list[Judgement]:
    """Return the judge's judgements of the run's responses.

    Raises:
        UncheckableError: the responses were cleaned by another version of the rules.
    """
    version = run.settings.inputs.text
    if version not in (None, VERSION):
        raise UncheckableError(
            f"the responses were cleaned by version {version} of the rules; here is version {VERSION}"
        )
    return judge_texts(judge, responses, rules_of(run))


def compare_judgements(here: Sequence[Judgement], there: Sequence[Judgement], before: int = 0) -> None:
    """Compare judgements made here with those of a folder, which follow on `before` others.

    Raises:
        DifferenceError: two of them differ; the message names the line and the mention.
    """
    for number, (new, old) in enumerate(zip(here, there, strict=True), before + 1):
        if new != old:
            raise DifferenceError(f"{JUDGEMENTS}:{number}: {_difference(new, old)}")


def _recorded(run: CheckedRun) -> tuple[str, str]:
    """Return name and signature of the run's judge."""
    signature = run.settings.inputs.judge
    if signature is None:
        raise UncheckableError("runs of this kind have no judge")
    return run.settings.chosen.judge, signature


@lru_cache(maxsize=4)
def _made(name: str, options: tuple[tuple[str, str], ...]) -> Judge:
    """Make a judge once for all checks and runs: they keep nothing of what they have read."""
    return make_judge(name, dict(options))


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
