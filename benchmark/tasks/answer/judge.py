"""The judge of answers to a published benchmark: the benchmark reads them by a rule, so that it names no objects."""

from collections.abc import Iterable, Iterator

from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.mentions import judged, why_missing


class RuleJudge:
    """Tells answers from failures. What an answer says is read by the benchmark's own rule."""

    name = "rule"
    reads_raw_text = True
    vocabulary: tuple[str, ...] = ()

    def signature(self) -> str:
        """Return the name. Benchmark and mode have their own part in the signature of a score."""
        return self.name

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement for each answer, in order, without mentions; a failed one is unscored."""
        return (
            judged(response, unscored=why_missing(response) if response.response is None else None)
            for response in responses
        )
