"""The judge `words`: every word that makes a claim, weighted by how likely it is wrong without support."""

from collections.abc import Iterable, Iterator, Mapping

from eidolon.scorers.core.judge import Judge, Matcher, describe_judge
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.judges.mentions import Places, judged_in_english
from eidolon.scorers.judges.reference_matcher import ReferenceMatcher, number
from eidolon.scorers.text.content_words import HEDGES, LIGHT
from eidolon.scorers.text.english import FUNCTION_WORDS
from eidolon.scorers.text.lexicon import DEFAULT_LEXICON, load_lexicon, outside_lexicon
from eidolon.scorers.text.tagged import Token, tag

NUMBER, NOUN, OTHER, LIGHTLY = 3 / 4, 1 / 4, 1 / 8, 1 / 16
"""How often, roughly, people flag such a word if no reference supports it: a number (two, 12), a noun, a verb or
adjective, and a light word (size, posture, place). The values are rounded from the counts on one half of the first
200 samples of HAT."""
HEDGED = 1 / 2
"""Factor of a weight after "possibly" in the same sentence: a hedged word claims less."""

_ENDS = frozenset(".!?")
_OTHERS = ("VB", "JJ")


class WordsJudge:
    """Mentions the nouns, verbs, adjectives and numbers of a response, with weights. The references decide which are
    right.

    It needs no download: the tagger is textblob's. An empty response or a refusal makes no claim, and a response in
    another language than English is unscored. `lexicon` names the synonyms of objects.

    Raises:
        UserError: the lexicon is unknown.
    """

    name = "words"
    vocabulary: tuple[str, ...] = ()
    open_vocabulary = True
    reader: Judge | None = None

    def __init__(self, lexicon: str = DEFAULT_LEXICON) -> None:
        self.matcher: Matcher = ReferenceMatcher(load_lexicon(lexicon))

    @classmethod
    def loads_from_outside(cls, options: Mapping[str, str]) -> str | None:
        """Return the lexicon if it does not ship with the package."""
        return outside_lexicon(options.get("lexicon", DEFAULT_LEXICON))

    def signature(self) -> str:
        """Return the settings, as the judge's part of the score's signature."""
        return describe_judge(self.name, self.settings())

    def settings(self) -> dict[str, str]:
        """Return the tagger, what supports words, and the weights."""
        return {
            "tagger": "textblob",
            "match": self.matcher.signature(),
            "weights": ":".join(f"{weight:g}" for weight in (NUMBER, NOUN, OTHER, LIGHTLY, HEDGED)),
        }

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement for each response, in order. Verdicts are not set yet."""
        return (self._judge_one(response) for response in responses)

    def _judge_one(self, response: Response) -> Judgement:
        return judged_in_english(response, lambda _: weighed(response))


def weighed(response: Response) -> Iterator[Mention]:
    """Yield a mention for each word that makes a claim. Its category is the lower-cased word."""
    places = Places(response)
    hedge = 1.0
    for token in tag(response.response or ""):
        if token.text in _ENDS:
            hedge = 1.0
        elif token.text in HEDGES:
            hedge = HEDGED
        elif weight := weight_of(token):
            yield places.mention(token.start, token.end, token.text, weight=weight * hedge)


def weight_of(token: Token) -> float:
    """Return how likely a word is wrong if nothing supports it. 0 for a word that makes no claim."""
    if not token.text[0].isalnum() or token.text in FUNCTION_WORDS:
        return 0.0
    if number(token.text) is not None:
        return NUMBER
    if token.text in LIGHT:
        return LIGHTLY
    if token.is_noun:
        return NOUN
    return OTHER if token.tag.startswith(_OTHERS) else 0.0
