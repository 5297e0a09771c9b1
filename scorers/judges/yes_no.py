"""A judge of answers to questions of the kind "is there a …?": a yes names the object that was asked about."""

from collections.abc import Iterable, Iterator, Mapping

from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.mentions import Places, judged, why_missing
from eidolon.scorers.text.yes_no import find_policy


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
        if answer is None:
            return judged(response, unscored=why_missing(response))
        if not self._parse(answer):
            return judged(response)
        category = self._categories[response.sample_id]
        return judged(response, [Places(response).mention(0, len(answer), category)])
