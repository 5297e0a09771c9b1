"""Verdicts: which mentions of a response are true, and which categories it names."""

from collections.abc import Collection
from dataclasses import dataclass

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Mention


def with_verdicts(judgement: Judgement, objects: Collection[str], unknown: Collection[str] = ()) -> Judgement:
    """Return the judgement with each mention grounded or hallucinated, by the true categories `objects`.

    A mention of an `unknown` category that is not among the objects is ignored. A mention that the judge has already
    set to `ignored` stays so.
    """
    truth = frozenset(objects)

    def decided(mention: Mention) -> Mention:
        if mention.verdict == "ignored":
            return mention
        verdict = "grounded" if mention.category in truth else "hallucinated"
        if verdict == "hallucinated" and mention.category in unknown:
            verdict = "ignored"
        return mention.model_copy(update={"verdict": verdict})

    return judgement.model_copy(update={"mentions": tuple(decided(m) for m in judgement.mentions)})


@dataclass(frozen=True, slots=True)
class Cells:
    """The categories of one response that count, each once."""

    predicted: frozenset[str]
    truth: frozenset[str]


def cells(sample: JudgedSample) -> Cells:
    """Return the categories that the response names, and those that are true.

    A category with ignored mentions only is in neither set. The judge does not know whether it was named, so it is
    neither rewarded nor penalised. THRONE (Kaul et al. 2024) treats undecided votes in the same way.
    """
    named = frozenset(m.category for m in counted_mentions(sample))
    ignored = frozenset(m.category for m in sample.judgement.mentions) - named
    return Cells(predicted=named, truth=sample.objects - ignored)


def counted_mentions(sample: JudgedSample) -> list[Mention]:
    """Return the mentions that are not ignored.

    Raises:
        ValueError: the sample has no response or judgement, or a verdict is missing or contradicts the ground
            truth. Such a sample would be counted wrongly.
    """
    judgement = sample.judgement
    if judgement.unscored is not None or sample.response.response is None:
        raise ValueError(f"sample {judgement.sample_id!r} is unscored and has no statistics")
    counted = [m for m in judgement.mentions if m.verdict != "ignored"]
    for mention in counted:
        expected = "grounded" if mention.category in sample.objects else "hallucinated"
        if mention.verdict != expected:
            raise ValueError(
                f"sample {judgement.sample_id!r}: mention {mention.text!r} of {mention.category!r} has the "
                f"verdict {mention.verdict!r}, by its truth it is {expected!r}; call with_verdicts first"
            )
    return counted
