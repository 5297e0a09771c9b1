"""What a judge is, and what it may offer beyond the minimum.

`Judge` is the minimum. Each of the other protocols is optional: a judge offers it by having its members, and the
program asks for it with `isinstance`. Nothing depends on a judge's name or class. A third-party judge is registered
with an entry point in the group `eidolon.judges`: a class whose keyword parameters are the judge's options
(`-J key=value`, as strings).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from eidolon.scorers.core.types import Judgement, Response

VerdictSource: TypeAlias = Literal["objects", "references", "language_model"]
"""What decides whether a mention is true: the true objects of the image, the words of its reference captions, or a
language model that is asked about those captions."""


class Judge(Protocol):
    """Decides which objects a response names. It never sees the image or the ground truth."""

    name: str
    vocabulary: tuple[str, ...]
    """The categories that it can name, in a fixed order. Empty for an open vocabulary, see `OpenJudge`."""

    def signature(self) -> str:
        """Return name and options, for the score's signature: `lexicon(reading=careful,vocabulary=coco80)`."""
        ...

    def judge(self, responses: Iterable[Response]) -> Iterable[Judgement]:
        """Yield one judgement for each response, in order. Verdicts are not set yet.

        A mention that the judge is not sure of may have the verdict `ignored` already. A response with an error, or
        one that cannot be judged, is unscored with its reason.
        """
        ...


@runtime_checkable
class NarrowedJudge(Protocol):
    """A judge that may report fewer categories than it knows. The ground truth is cut to those it reports."""

    known: tuple[str, ...]
    """All categories that it knows, those of `vocabulary` among them."""


@runtime_checkable
class VotingJudge(Judge, Protocol):
    """A judge with several votes on each category, stored in `Judgement.votes`: `judges` times `formats`."""

    judges: tuple[str, ...]
    formats: tuple[str, ...]
    threshold: int
    """Votes that make a category present."""

    def reader(self) -> Judge | None:
        """Return a judge of the same vocabulary that locates categories in the text, if there is one.

        With it, agreement among the votes is also reported by position in the response.
        """
        ...


@runtime_checkable
class SavingJudge(Protocol):
    """A voting judge that declares whether it asks every vote. One that does not declare it does."""

    asks_all_votes: bool
    """False if votes are missing that cannot change a verdict at the judge's threshold. Then the votes say nothing
    about other thresholds, or about agreement."""


@runtime_checkable
class NotedJudge(Protocol):
    """A judge that has something to say about how it judged the responses so far."""

    def note(self) -> str | None:
        """Return one line to print and log, None for nothing."""
        ...


@runtime_checkable
class SelfTestedJudge(Protocol):
    """A judge that tests itself with questions whose answers are known."""

    def weaknesses(self) -> tuple[str, ...]:
        """Return why its verdicts say little, each in a line, as far as it was tested so far. Empty for a fit judge."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one image."""

    objects: frozenset[str]
    """Its true objects."""
    references: tuple[str, ...] = ()
    """Its reference captions."""
    unknown: frozenset[str] = frozenset()
    """Categories that may be in it or not: an annotator was unsure, or did not look for them."""


class Matcher(Protocol):
    """Gives the mentions of an open vocabulary their verdicts."""

    verdicts_from: VerdictSource
    """Metrics that count true objects apply to `objects` alone."""

    def signature(self) -> str:
        """Return how it matches, for the judge's signature."""
        ...

    def match(self, judgements: Sequence[Judgement], evidence: Sequence[Evidence]) -> list[Judgement]:
        """Return the judgements with verdicts, one for each item of evidence.

        Unscored judgements and `ignored` mentions stay as they are.
        """
        ...


@runtime_checkable
class SimilarityMatcher(Protocol):
    """A matcher that may set `Mention.similarity`, how alike a mention and its true object are."""

    gives_similarity: bool


@runtime_checkable
class JoiningMatcher(Protocol):
    """A matcher that knows when two names mean one object."""

    def join(self, objects: Collection[str], named: Collection[str]) -> frozenset[str]:
        """Return the true objects of an image, with those objects that its captions name beside them."""
        ...


@runtime_checkable
class OpenJudge(Protocol):
    """A judge without a closed vocabulary. Its matcher decides what is true."""

    matcher: Matcher
    reader: Judge | None
    """Who reads the objects in reference captions. None if captions add no objects to the ground truth."""


@runtime_checkable
class DescribedJudge(Judge, Protocol):
    """A judge that names its settings, so that runs are compared setting by setting."""

    def settings(self) -> dict[str, str]:
        """Return the settings that decide a judgement, by name, in the order of the signature.

        `reading` and `vocabulary` are those that `eidolon compare --allow` knows. `describe_judge` makes the signature.
        """
        ...


@runtime_checkable
class TermedJudge(Protocol):
    """A judge that names the words of its categories, by which the names of other programs are found."""

    def terms(self) -> Mapping[str, str]:
        """Return term → category."""
        ...


@runtime_checkable
class LocatingJudge(Protocol):
    """A judge that declares whether its mentions have a place in the response.

    A judge that does not declare it is taken to locate them.
    """

    locates_mentions: bool
    """False if its answers are about the whole response, so that mentions have the empty text at 0."""


@runtime_checkable
class RawTextJudge(Protocol):
    """A judge that declares whether it reads responses as they are, as published programs do.

    A judge that does not declare it is handed the cleaned text. Reasoning is left out for both.
    """

    reads_raw_text: bool


@runtime_checkable
class SlowJudge(Protocol):
    """A judge that takes long enough for progress to be shown, as one that asks language models."""

    batch: int
    """Responses that are judged, and written to the run folder, at a time."""


@runtime_checkable
class NarrowJudge(Protocol):
    """A judge that may know the texts of one dataset alone, so that its scores of others mean little."""

    def narrow(self) -> Mapping[str, Sequence[str]]:
        """Return the parts of the judge that know one dataset alone, by the dataset's name; empty without any."""
        ...


@runtime_checkable
class DefaultMetricsJudge(Protocol):
    """A judge that declares the metrics of a run that names none."""

    default_metrics: tuple[str, ...]


@runtime_checkable
class RereadingJudge(Protocol):
    """A judge that can read for names alone. The task `forget` needs it, to ask about what a text has not named."""

    def namers(self) -> tuple[Judge, ...]:
        """Return judges of the same vocabulary that together find everything a text names, also what it denies."""
        ...


@runtime_checkable
class OpenJudgeFactory(Protocol):
    """A judge class whose judges are `OpenJudge`s."""

    open_vocabulary: bool


@runtime_checkable
class LanguageModelJudgeFactory(Protocol):
    """A judge class that asks language models: its constructor takes `models: Sequence[LanguageModel]`.

    The option `models` names them, and options that the class does not take itself go to the models.
    """

    language_models: Literal["required", "optional"]
    """`optional`: without the option `models` the judge is made without the parameter."""


@runtime_checkable
class RemakableJudgeFactory(Protocol):
    """A judge class whose judges `eidolon check` may make again from a run folder.

    A folder may come from a stranger. So the class says for which options nothing is loaded but what ships with it.
    """

    def loads_from_outside(self, options: Mapping[str, str]) -> str | None:
        """Return what these options load that does not ship with the package, for a message. None for nothing."""
        ...


def verdicts_from(judge: Judge) -> VerdictSource:
    """Return what decides on a judge's mentions: for a closed vocabulary the true objects."""
    return judge.matcher.verdicts_from if isinstance(judge, OpenJudge) else "objects"


def gives_similarity(judge: Judge) -> bool:
    """Tell whether a judge's matcher sets `Mention.similarity`."""
    return (
        isinstance(judge, OpenJudge)
        and isinstance(judge.matcher, SimilarityMatcher)
        and judge.matcher.gives_similarity
    )


def judge_settings(judge: Judge) -> dict[str, str]:
    """Return the settings that a judge names, none if it names none."""
    return judge.settings() if isinstance(judge, DescribedJudge) else {}


def describe_judge(name: str, settings: Mapping[str, str]) -> str:
    """Return the signature of a judge with these settings: `lexicon(reading=careful,vocabulary=coco80)`."""
    inner = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"{name}({inner})" if inner else name


def asks_all_votes(judge: Judge) -> bool:
    """Tell whether a voting judge asks every vote."""
    return judge.asks_all_votes if isinstance(judge, SavingJudge) else True


def locates_mentions(judge: Judge) -> bool:
    """Tell whether a judge's mentions have a place in the response."""
    return judge.locates_mentions if isinstance(judge, LocatingJudge) else True


def needs_object_verdicts(judge: Judge) -> str | None:
    """Return why a metric that counts true objects cannot use a judge's verdicts, None if it can."""
    source = verdicts_from(judge)
    if source == "language_model":
        return (
            f"judge {judge.name} takes its verdicts from a language model, not from the true objects; "
            "give --metric openchair"
        )
    if source == "references":
        return (
            f"judge {judge.name} takes its verdicts from reference captions, not from the true objects; "
            "give --metric detection"
        )
    return None
