"""Why scores mean little, as far as only the answers show: a judge that decides nothing, a model that is constant."""

from collections.abc import Iterable, Iterator, Sequence

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import ImageId, Response

MAX_UNREADABLE = 0.1
"""Share of a judge's answers that are neither yes nor no, or hold no rating, above which its scores have no
headline."""
RATED = "mmhal"
"""The family whose answers a language model rates."""
SAME_FOR = 10
"""Images to which a model must give the same answer before it is called constant."""
_SHOWN = 60


def late_warnings(
    weaknesses: Sequence[str], scores: Scores, responses: Iterable[Response]
) -> tuple[str, ...]:
    """Return the warnings that follow from a finished run, each in a line."""
    return (*weaknesses, *_unreadable(scores), *_unrated(scores), *_constant(responses))


def _unreadable(scores: Scores) -> Iterator[str]:
    share = None if scores.calibration is None else scores.calibration.unreadable
    if share is not None and share > MAX_UNREADABLE:
        yield (
            f"{share:.0%} of the judge's answers are neither yes nor no and decide nothing, so the scores have no "
            "headline; give -J answers=words or another model"
        )


def _unrated(scores: Scores) -> Iterator[str]:
    family = scores.metrics.get(RATED)
    share = None if family is None else family.quantities()["unparsed"].value
    if share is not None and share > MAX_UNREADABLE:
        yield (
            f"{share:.0%} of the judge's replies hold no single rating, so the scores have no headline; take another "
            "judge"
        )


def _constant(responses: Iterable[Response]) -> Iterator[str]:
    """Yield a warning if all responses are the same text. It stops reading at the first that differs."""
    first: str | None = None
    images: set[ImageId] = set()
    prompts: set[str | None] = set()
    for response in responses:
        if response.response is None or response.error is not None:
            continue
        text = " ".join(response.response.split())
        if first is None:
            first = text
        elif text != first:
            return
        images.add(response.image_id)
        prompts.add(response.prompt)
    if first is None or len(images) < SAME_FOR:
        return
    asked = "every picture" if len(prompts) < 2 else f"all {len(prompts)} questions and every picture"
    shown = first if len(first) <= _SHOWN else first[: _SHOWN - 1] + "\u2026"
    yield (
        f"the model gives the same answer to {asked} ({len(images)} pictures): {one_line(shown)!r}; it may not see "
        "them: run eidolon doctor"
    )
