"""A judge: a response names a category when it holds the category's name, or that with an s."""

import re
from collections.abc import Iterable, Iterator, Mapping

from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.judges.mentions import Places, judged, why_missing
from eidolon.scorers.text.lexicon import load_lexicon


class NamesJudge:
    """Finds COCO's 80 categories by their names alone, without synonyms."""

    name: str = "names"

    def __init__(self) -> None:
        self.vocabulary = load_lexicon("coco80").vocabulary
        longest_first = sorted(self.vocabulary, key=len, reverse=True)
        self._pattern = re.compile(rf"\b({'|'.join(longest_first)})s?\b", re.IGNORECASE)

    def signature(self) -> str:
        """Return how it reads, for the signature of the scores."""
        return "names(vocabulary=coco80)"

    @staticmethod
    def loads_from_outside(options: Mapping[str, str]) -> None:
        """Return that no option loads anything, so that `eidolon check` may judge again."""

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement a response, in order, verdicts not yet set."""
        for response in responses:
            if response.response is None:
                yield judged(response, unscored=why_missing(response))
            else:
                yield judged(response, self._mentions(response, response.response))

    def _mentions(self, response: Response, text: str) -> Iterator[Mention]:
        places = Places(response)
        for found in self._pattern.finditer(text):
            yield places.mention(found.start(), found.end(), found[1].lower())
