"""How the judge `nouns` finds nouns: by a small tagger, or by a trained spaCy pipeline."""

import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.text.abstract_nouns import is_abstract
from eidolon.scorers.text.content_words import NO_OBJECTS
from eidolon.scorers.text.english import FUNCTION_WORDS, words
from eidolon.scorers.text.lexicon import Lexicon
from eidolon.scorers.text.plurals import plural_forms
from eidolon.scorers.text.singular_nouns import singular
from eidolon.scorers.text.tagged import Token, tag

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

UNUSED = ("ner", "entity_linker", "entity_ruler", "textcat", "textcat_multilabel", "lemmatizer", "senter")
"""Components of a pipeline that no noun depends on. They are not loaded."""
READER = 2
"""Version of the rules that find nouns, for signatures."""

_POSSESSIVE = re.compile(r"['\u2019]s$")
_SHORT_FORMS = frozenset({"let"})
"""Words before `'s` that are no possessors, besides function words."""
_BEFORE_NOUNS = ("DT", "JJ", "PRP$", "CD", "VBG", "VBN", "IN", "CC", ",")
_BASE_VERBS = ("VB", "VBP")
_VERBS_LIKE_PLURALS = words(
    """
    captures contains covers depicts displays faces features fills holds includes lies looks places plays poses rests
    rides seats serves shares showcases shows sits stands surrounds walks watches
    """
)


class Noun(NamedTuple):
    """A noun of a text: `text[start:end]`, and its singular."""

    start: int
    end: int
    lemma: str


class NounReader(Protocol):
    """A method that finds nouns."""

    def signature(self) -> str:
        """Return the method's name and the version of its rules, with the version of a pipeline."""
        ...

    def read_all(self, texts: Sequence[str]) -> list[list[Noun]]:
        """Return the nouns of each text, in order."""
        ...

    def note(self) -> str | None:
        """Return what a user should know about the method, None for nothing."""
        ...


class TaggedNouns:
    """The last noun of each run of nouns, by textblob's tagger.

    The tagger takes many words for verbs or adjectives that name objects here ("a sink", "a stuffed bear"). A term of
    the lexicon is therefore a noun where a noun can be: after a determiner or adjective, not before another noun.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._phrases = Phrases(lexicon)
        self._terms = frozenset(term for term in lexicon.careful_terms() if " " not in term)

    def signature(self) -> str:
        """Return the name of the tagger, with the version of the rules."""
        return f"textblob/{READER}"

    def note(self) -> str | None:
        """Return None: the tagger ships with textblob."""
        return None

    def read_all(self, texts: Sequence[str]) -> list[list[Noun]]:
        """Return the nouns of each text, in order."""
        return [self.read(text) for text in texts]

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
            if self._is_noun(tokens, position):
                found += _head(token, followed=self._is_noun(tokens, position + 1))
            position += 1
        return found

    def _is_noun(self, tokens: Sequence[Token], position: int) -> bool:
        if not 0 <= position < len(tokens):
            return False
        token = tokens[position]
        if token.is_noun:
            return not _is_verb_form(tokens, position)
        if token.text not in self._terms and singular(token.text) not in self._terms:
            return False
        before = tokens[position - 1] if position else None
        after = tokens[position + 1] if position + 1 < len(tokens) else None
        if token.tag.startswith("JJ"):
            return after is None or not (after.is_noun or after.tag.startswith(("JJ", "VBG")))
        if not token.tag.startswith("VB") or before is None:
            return False
        compound = token.tag in _BASE_VERBS and before.tag == "NN"
        return compound or before.tag.startswith(_BEFORE_NOUNS)


def _is_verb_form(tokens: Sequence[Token], position: int) -> bool:
    """Tell whether a "plural" is a verb: "the image features a dog", "a plate sits". A singular noun stands before it
    and a noun phrase after it."""
    if tokens[position].tag != "NNS" or tokens[position].text not in _VERBS_LIKE_PLURALS or not position:
        return False
    after = tokens[position + 1] if position + 1 < len(tokens) else None
    opens = after is not None and (
        after.tag in ("DT", "IN", "CD", "PRP$", "JJ", "RB") or after.text == "multiple"
    )
    return tokens[position - 1].tag.startswith(("NN", "PRP", "WDT")) and opens


def _head(token: Token, *, followed: bool) -> list[Noun]:
    """Return the noun of a token, none if it modifies the next one or names no object."""
    base = _POSSESSIVE.sub("", token.text)
    possessor = base != token.text
    # A plural rarely modifies the next noun, so it ends its run: "dogs chase", whatever the tag of "chase". Nor does a
    # possessor: "a man's hat" names both.
    if followed and not possessor and token.tag != "NNS":
        return []
    if not is_object_noun(base) or (possessor and base in _SHORT_FORMS):
        return []
    return [Noun(token.start, token.start + len(base), singular(base))]


class ParsedNouns:
    """The heads of a spaCy pipeline's noun chunks, and the possessors in them."""

    def __init__(self, nlp: "Language", lexicon: Lexicon) -> None:
        self._nlp = nlp
        self._phrases = Phrases(lexicon)

    @classmethod
    def load(cls, name: str, lexicon: Lexicon) -> "ParsedNouns":
        """Return the reader of an installed pipeline, or of the pipeline in a folder.

        Raises:
            UserError: there is no such pipeline, or it cannot be loaded or has no tagger and parser.
        """
        return cls(_load_pipeline(name), lexicon)

    def signature(self) -> str:
        """Return the pipeline's name and version, with the version of the rules."""
        meta = self._nlp.meta
        return f"spacy:{meta['lang']}_{meta['name']}-{meta['version']}/{READER}"

    def note(self) -> str | None:
        """Return the licence that the pipeline's meta.json states."""
        meta = self._nlp.meta
        licence = meta.get("license") or "none stated in its meta.json"
        return f"-J pipeline={meta['lang']}_{meta['name']} {meta['version']}: licence {licence}"

    def read_all(self, texts: Sequence[str]) -> list[list[Noun]]:
        """Return the nouns of each text, in order. The texts are parsed in batches."""
        return [self._read(document) for document in self._nlp.pipe(texts)]

    def _read(self, document: "Doc") -> list[Noun]:
        found: dict[int, Noun] = {}
        for chunk in document.noun_chunks:
            for head in (*_possessors(chunk), chunk.root):
                if head.pos_ not in ("NOUN", "PROPN") or not is_object_noun(head.text.lower()):
                    continue
                first, lemma = self._phrase_before(document, chunk.start, head.i)
                start = document[first].idx
                found[head.i] = Noun(start, head.idx + len(head), lemma or singular(head.text.lower()))
        return [found[place] for place in sorted(found)]

    def _phrase_before(self, document: "Doc", start: int, head: int) -> tuple[int, str | None]:
        """Return where the longest phrase of the lexicon that ends with the head begins, and its singular."""
        last = [token.text.lower() for token in document[start : head + 1]]
        for offset in range(len(last) - 1):
            phrase = self._phrases.at(last[offset:])
            if phrase is not None and phrase[0] == len(last) - offset:
                return start + offset, phrase[1]
        return head, None


def _possessors(chunk: Iterable[Any]) -> list[Any]:
    return [token for token in chunk if token.dep_ == "poss"]


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
    """Tell whether a lower-cased noun may name an object. "side", "group", "addition", numbers and letters do not."""
    if len(word) < 2 or not word[0].isalpha() or word in NO_OBJECTS or word in FUNCTION_WORDS:
        return False
    one = singular(word)
    return one not in NO_OBJECTS and not is_abstract(word) and not is_abstract(one)


def _load_pipeline(name: str) -> "Language":
    given = f"-J pipeline={name}"
    folder = _pipeline_folder(name, given)
    import spacy

    try:
        nlp = spacy.load(folder or name, exclude=UNUSED)
    except (OSError, ValueError, AttributeError, ImportError, LookupError, TypeError) as error:
        # spaCy reports what is no pipeline, and one for another version, by any of these.
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{given}: cannot be loaded as a spaCy pipeline ({reason}); python -m spacy download en_core_web_sm"
        ) from error
    if not {"parser", "tagger"} <= set(nlp.pipe_names):
        raise UserError(
            f"{given}: has no tagger and parser to find nouns with (it has "
            f"{', '.join(nlp.pipe_names) or 'nothing'}); python -m spacy download en_core_web_sm"
        )
    return nlp


def _pipeline_folder(name: str, given: str) -> Path | None:
    """Return the folder that a name is the path of, None for the name of a package that holds a pipeline."""
    if os.path.isdir(name):
        if not (Path(name) / "config.cfg").is_file():
            raise UserError(f"{given}: the folder is no spaCy pipeline: it holds no config.cfg")
        return Path(name)
    package = importlib.util.find_spec(name) if name.isidentifier() else None
    if package is None:
        raise UserError(
            f"{given}: no spaCy pipeline of that name is installed, and it is no folder; "
            f"python -m spacy download {name if name.isidentifier() else 'en_core_web_sm'}"
        )
    # Any other package's `load` must not run.
    if not any((Path(place) / "meta.json").is_file() for place in package.submodule_search_locations or ()):
        raise UserError(
            f"{given}: this package is no spaCy pipeline: it holds no meta.json; "
            "python -m spacy download en_core_web_sm"
        )
    return None
