"""The risks of a page: of the mentions of a run that no truth decides, and of responses without any truth."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from eidolon.benchmark.report.view.collect import CollectedRun
from eidolon.benchmark.report.view.pictures import NoPictures
from eidolon.benchmark.report.view.records import Fact, Index, Position, RunView
from eidolon.benchmark.report.view.samples import ViewedSample
from eidolon.benchmark.run.risk import RiskLine
from eidolon.scorers.core.types import Judgement, Response

NO_TRUTH = "No truth is known here: mentions are shaded by their risk."


def page_of_risks(
    responses: Path, judged: Sequence[tuple[Response, Judgement]], lines: Sequence[RiskLine], sentence: str
) -> CollectedRun:
    """Return the page of responses whose mentions are all shaded by their risks. Verdicts are left out.

    Args:
        responses: Where the responses came from.
        judged: The responses with what the judge found.
        lines: The risks, in the same order.
        sentence: What stands on top.
    """
    head = RunView(
        name=responses.stem,
        task="risk",
        status="finished",
        sentence=sentence,
        numbers=(),
        more_numbers=(),
        warnings=(),
        provenance=(Fact(label="responses", value=str(responses)),),
        intervals=None,
        categories=(),
        by_category=(),
        no_categories=NO_TRUTH,
        position=Position(reason=NO_TRUTH),
        index=Index(),
        no_samples=None if judged else "There are no responses.",
    )
    return CollectedRun(head, len(judged), "", lambda: _samples(judged, lines), NoPictures())


def _samples(
    judged: Sequence[tuple[Response, Judgement]], lines: Sequence[RiskLine]
) -> Iterator[ViewedSample]:
    for (response, judgement), line in zip(judged, lines, strict=True):
        yield ViewedSample(
            response=response,
            judgement=_without_verdicts(judgement),
            sample=None,
            question=None,
            answer=None,
            risks=tuple(mention.risk for mention in line.mentions),
        )


def _without_verdicts(judgement: Judgement) -> Judgement:
    mentions = tuple(mention.model_copy(update={"verdict": None}) for mention in judgement.mentions)
    return judgement.model_copy(update={"mentions": mentions})
