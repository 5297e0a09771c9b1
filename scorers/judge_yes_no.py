"""A judge of answers to questions of the kind "is there a …?": a yes names the object that was asked about."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

from eidolon.scorers.types import Judgement, Mention, Response
from eidolon.scorers.yes_no import find_policy

NO_RESPONSE = "no response"


class YesNoJudge:
    """Reads answers under a named policy. What is read as yes is one mention, the whole answer its text;
    a no and an answer that cannot be read name nothing."""

    name = "yes-no"

    def __init__(self, categories: Mapping[str, str], policy: str) -> None:
        """Take the category that each sample asks about. Raises UserError for an unknown policy."""
        self._categories = categories
        self._parse = find_policy(policy)
        self.vocabulary = tuple(sorted(set(categories.values())))

    def signature(self) -> str:
        """Return the name: the policy has its own part in the signature of a score."""
        return self.name

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement an answer, in order, verdicts not yet set."""
        return (self._judge_one(response) for response in responses)

    def _judge_one(self, response: Response) -> Judgement:
        answer = response.response
        mentions: tuple[Mention, ...] = ()
        if answer is not None and self._parse(answer):
            mentions = (self._mention(response.sample_id, answer, response.token_ends),)
        return Judgement(
            sample_id=response.sample_id,
            image_id=response.image_id,
            generation=response.generation,
            mentions=mentions,
            unscored=(response.error or NO_RESPONSE) if answer is None else None,
        )

    def _mention(self, sample_id: str, answer: str, token_ends: tuple[int, ...] | None) -> Mention:
        return Mention(
            category=self._categories[sample_id],
            text=answer,
            start=0,
            end=len(answer),
            word=0,
            token=bisect_right(token_ends, 0) if answer and token_ends else None,
        )
