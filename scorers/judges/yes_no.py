"""A judge of answers to questions such as "is there a …?". A yes names the object of the question."""

from collections.abc import Iterable, Iterator, Mapping

from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.mentions import Places, judged, why_missing
from eidolon.scorers.text.yes_no import check_policy, read_answer


class YesNoJudge:
    """Reads answers under a named policy.

    An answer that is read as yes is one mention, whose text is the whole answer. A no, and an answer that cannot be
    read, names nothing.
    """

    name = "yes-no"
    reads_raw_text = True
    """The policy decides what of the text is the answer."""

    def __init__(self, categories: Mapping[str, str], policy: str) -> None:
        """Take the category that each sample asks about.

        Raises:
            UserError: the policy is unknown.
        """
        self._categories = categories
        check_policy(policy)
        self._policy = policy
        self.vocabulary = tuple(sorted(set(categories.values())))

    def signature(self) -> str:
        """Return the name. The policy has its own part in the signature of a score."""
        return self.name

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement for each answer, in order. Verdicts are not set yet."""
        return (self._judge_one(response) for response in responses)

    def _judge_one(self, response: Response) -> Judgement:
        answer = response.response
        if answer is None:
            return judged(response, unscored=why_missing(response))
        if not read_answer(self._policy, answer, response.first_token_logprobs):
            return judged(response)
        category = self._categories[response.sample_id]
        return judged(response, [Places(response).mention(0, len(answer), category)])
