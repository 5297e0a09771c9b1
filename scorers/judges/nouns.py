"""The judge `nouns`: the nouns that a response names, without a vocabulary.

With a trained spaCy pipeline these are the heads of its noun chunks. Without one they are the last nouns of the runs
of nouns that a small tagger finds. Either way, a phrase that is one term of the lexicon ("fire hydrant") is one noun.
"""

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge, describe_judge
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.judges.matcher_options import Concreteness, make_matcher
from eidolon.scorers.judges.mentions import Places, judged_in_english
from eidolon.scorers.text.content_words import NO_OBJECTS
from eidolon.scorers.text.english import FUNCTION_WORDS
from eidolon.scorers.text.lexicon import (
    DEFAULT_LEXICON,
    Lexicon,
    load_lexicon,
    outside_lexicon,
)
from eidolon.scorers.text.plurals import plural_forms
from eidolon.scorers.text.tagged import singular, tag

if TYPE_CHECKING:
    from spacy.language import Language

DEFAULT = "default"


class Noun(NamedTuple):
    """A noun of a text: `text[start:end]`, and its singular."""

    start: int
    end: int
    lemma: str


class NounReader(Protocol):
    """A method that finds nouns."""

    def signature(self) -> str:
        """Return the method's name, with its version if it is a pipeline."""
        ...

    def read(self, text: str) -> list[Noun]:
        """Return the nouns of a text, in order."""
        ...


class NounsJudge:
    """Mentions every noun that may be an object. The true objects decide which are right.

    `pipeline` is `default` (a tagger that needs no download) or the name of an installed spaCy pipeline. Nouns such
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
            TaggedNouns(words) if pipeline == DEFAULT else _load_pipeline(pipeline, words)
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
        return (self._judge_one(response) for response in responses)

    def _judge_one(self, response: Response) -> Judgement:
        return judged_in_english(response, lambda text: self._mentions(response, text))

    def _mentions(self, response: Response, text: str) -> Iterator[Mention]:
        places = Places(response)
        for noun in self.nouns.read(text):
            if self._concreteness is None or noun.lemma in self._concreteness:
                yield places.mention(noun.start, noun.end, noun.lemma)


class TaggedNouns:
    """The last noun of each run of nouns, by textblob's tagger."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._phrases = Phrases(lexicon)

    def signature(self) -> str:
        """Return the name of the tagger."""
        return "textblob"

    def read(self, text: str) -> list[Noun]:
        """Return the nouns of a text, in order."""
        tokens = tag(text)
        found: list[Noun] = []
        position = 0
        while position < len(tokens):
            token = tokens[position]
            phrase = self._phrases.at([t.text for t in tokens[position : position + self._phrases.longest]])
            if phrase is not None:
                length, lemma = phrase
                found.append(Noun(token.start, tokens[position + length - 1].end, lemma))
                position += length
                continue
            position += 1
            # A plural rarely modifies the next noun, so it ends its run: "dogs chase", whatever the tag of "chase".
            followed = token.tag != "NNS" and position < len(tokens) and tokens[position].is_noun
            if token.is_noun and not followed and is_object_noun(token.text):
                found.append(Noun(token.start, token.end, singular(token.text)))
        return found


class ParsedNouns:
    """The heads of a spaCy pipeline's noun chunks."""

    def __init__(self, nlp: "Language", lexicon: Lexicon) -> None:
        self._nlp = nlp
        self._phrases = Phrases(lexicon)

    def signature(self) -> str:
        """Return the pipeline's name and version."""
        meta = self._nlp.meta
        return f"spacy:{meta['lang']}_{meta['name']}-{meta['version']}"

    def read(self, text: str) -> list[Noun]:
        """Return the nouns of a text, in order."""
        document = self._nlp(text)
        found: list[Noun] = []
        for chunk in document.noun_chunks:
            head = chunk.root
            if head.pos_ not in ("NOUN", "PROPN") or not is_object_noun(head.text.lower()):
                continue
            first, lemma = self._phrase_before(document, chunk.start, head.i)
            start = document[first].idx
            found.append(Noun(start, head.idx + len(head), lemma or head.lemma_.lower()))
        return found

    def _phrase_before(self, document: Any, start: int, head: int) -> tuple[int, str | None]:
        """Return where the longest phrase of the lexicon that ends with the head begins, and its singular."""
        words = [token.text.lower() for token in document[start : head + 1]]
        for offset in range(len(words) - 1):
            phrase = self._phrases.at(words[offset:])
            if phrase is not None and phrase[0] == len(words) - offset:
                return start + offset, phrase[1]
        return head, None


class Phrases:
    """The terms of a lexicon that have several words, in singular and plural."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._singulars: dict[tuple[str, ...], str] = {}
        for term in lexicon.careful_terms():
            if " " in term:
                for form in (term, *lexicon.careful.plurals.get(term, plural_forms(term))):
                    self._singulars[tuple(form.split())] = term
        self.longest = max(map(len, self._singulars), default=1)

    def at(self, words: Sequence[str]) -> tuple[int, str] | None:
        """Return the number of words and the singular of the longest phrase that the words begin with."""
        for length in range(min(self.longest, len(words)), 1, -1):
            term = self._singulars.get(tuple(words[:length]))
            if term is not None:
                return length, term
        return None


def is_object_noun(word: str) -> bool:
    """Tell whether a lower-cased noun may name an object. "side", "group", numbers and letters do not."""
    return len(word) > 1 and word[0].isalpha() and word not in NO_OBJECTS | FUNCTION_WORDS


def _load_pipeline(name: str, lexicon: Lexicon) -> ParsedNouns:
    if not name.isidentifier() or importlib.util.find_spec(name) is None:
        raise UserError(
            f"-J pipeline={name}: no spaCy pipeline of that name is installed; "
            f"python -m spacy download {name}"
        )
    import spacy

    nlp = spacy.load(name)
    if not {"parser", "tagger"} <= set(nlp.pipe_names):
        raise UserError(
            f"-J pipeline={name}: has no tagger and parser to find nouns with (it has "
            f"{', '.join(nlp.pipe_names) or 'nothing'}); python -m spacy download en_core_web_sm"
        )
    return ParsedNouns(nlp, lexicon)
