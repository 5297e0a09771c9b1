"""The judge `nouns`: the nouns that a response names, without a vocabulary.

With a trained spaCy pipeline these are the heads of its noun chunks. Without one they are the last nouns of the runs
of nouns that a small tagger finds. Either way, a phrase that is one term of the lexicon ("fire hydrant") is one noun.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

from eidolon.scorers.core.judge import Judge, describe_judge
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.judges.matcher_options import Concreteness, make_matcher
from eidolon.scorers.judges.mentions import Places, judged_in_english, readable_text
from eidolon.scorers.judges.noun_readers import Noun, NounReader, ParsedNouns, TaggedNouns
from eidolon.scorers.text.lexicon import DEFAULT_LEXICON, load_lexicon, outside_lexicon

DEFAULT = "default"
BATCH = 64
"""Responses that a pipeline reads at a time."""


class NounsJudge:
    """Mentions every noun that may be an object. The true objects decide which are right.

    `pipeline` is `default` (a tagger that needs no download), or the name of an installed spaCy pipeline or the path
    of its folder. Nouns such
    as "side" or "group" are left out. With a `concreteness` file, so are nouns that it does not rate above 4.5.
    `match`, `lexicon`, `embeddings` and `threshold` choose how nouns are matched (`matcher_options.make_matcher`).
    `models` holds the language model that `match` = `lm` asks.

    Raises:
        UserError: an option is unknown, or what it names is not installed.
    """

    name = "nouns"
    vocabulary: tuple[str, ...] = ()
    open_vocabulary = True
    language_models: Literal["required", "optional"] = "optional"

    def __init__(
        self,
        pipeline: str = DEFAULT,
        match: str = "names",
        lexicon: str = DEFAULT_LEXICON,
        embeddings: str | None = None,
        threshold: str | float | None = None,
        concreteness: str | None = None,
        models: Sequence[LanguageModel] = (),
    ) -> None:
        words = load_lexicon(lexicon)
        self.nouns: NounReader = (
            TaggedNouns(words) if pipeline == DEFAULT else ParsedNouns.load(pipeline, words)
        )
        self.matcher = make_matcher(
            self.name, match, lexicon=words, embeddings=embeddings, threshold=threshold, models=models
        )
        self._concreteness = None if concreteness is None else Concreteness(concreteness)
        self.reader: Judge | None = self if self.matcher.verdicts_from == "objects" else None

    @classmethod
    def loads_from_outside(cls, options: Mapping[str, str]) -> str | None:
        """Return the first option that names a pipeline, a model or a file, or a lexicon that does not ship."""
        for option in ("pipeline", "embeddings", "concreteness", "models"):
            if option in options and (option, options[option]) != ("pipeline", DEFAULT):
                return f"{option} {options[option]}"
        return outside_lexicon(options.get("lexicon", DEFAULT_LEXICON))

    def signature(self) -> str:
        """Return the settings, as the judge's part of the score's signature."""
        return describe_judge(self.name, self.settings())

    def settings(self) -> dict[str, str]:
        """Return how nouns are found, how they are matched, and which of them count."""
        return {
            "reader": self.nouns.signature(),
            "match": self.matcher.signature(),
            "concreteness": "all" if self._concreteness is None else self._concreteness.signature(),
        }

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement for each response, in order. Verdicts are not set yet."""
        rest = iter(responses)
        while batch := list(islice(rest, BATCH)):
            texts = [readable_text(response) for response in batch]
            found = iter(self.nouns.read_all([text for text in texts if text is not None]))
            nouns = [[] if text is None else next(found) for text in texts]
            yield from map(self._judge_one, batch, nouns)

    def note(self) -> str | None:
        """Return the name and the licence of a trained pipeline."""
        return self.nouns.note()

    def _judge_one(self, response: Response, nouns: Sequence[Noun]) -> Judgement:
        return judged_in_english(response, lambda _: self._mentions(response, nouns))

    def _mentions(self, response: Response, nouns: Sequence[Noun]) -> Iterator[Mention]:
        places = Places(response)
        for noun in nouns:
            if self._concreteness is None or noun.lemma in self._concreteness:
                yield places.mention(noun.start, noun.end, noun.lemma)
