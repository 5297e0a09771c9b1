"""What the reading `wordnet` knows of English: WordNet's lemmas, a tagger's weights, Punkt's abbreviations.

The files in `data/` come with the package, so that a score needs no download. `bench/make_english_data.py` makes them,
and `data/LICENSES.md` says whose they are.
"""

import json
import lzma
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from eidolon.scorers.core.signature import hashed

SENTENCES, TAGGER, WORDNET = "sentences.json", "tagger.json.xz", "wordnet.json.xz"


class TaggerModel(NamedTuple):
    """An averaged perceptron: a token's tag is the one whose weights, summed over its features, are largest."""

    weights: dict[str, dict[str, float]]
    """Feature → tag → weight."""
    fixed: dict[str, str]
    """Words that always have the same tag."""
    tags: tuple[str, ...]


class LemmaTables(NamedTuple):
    """WordNet's words by part of speech: `n`, `v`, `a` or `r`."""

    lemmas: dict[str, frozenset[str]]
    irregular: dict[str, dict[str, tuple[str, ...]]]
    """Irregular form → its lemmas."""


class SentenceRules(NamedTuple):
    """What Punkt needs to find the sentences of lower-cased English."""

    abbreviations: frozenset[str]
    openers: frozenset[str]
    """Words that may begin a sentence in lower case, after a number or an initial."""


@cache
def data_version() -> str:
    """Return the name of the data, with a hash of its bytes, for signatures."""
    return hashed("wordnet", b"".join(_read(name) for name in (SENTENCES, TAGGER, WORDNET)))


def load_tagger() -> TaggerModel:
    """Return the weights of NLTK's `averaged_perceptron_tagger_eng` that lower-cased words can use."""
    content = json.loads(lzma.decompress(_read(TAGGER)))
    weights = unpack_weights(content["features"], content["columns"], content["thousandths"], content["tags"])
    return TaggerModel(weights, content["fixed"], tuple(content["tags"]))


def unpack_weights(
    features: str, columns: str, thousandths: str, tags: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return feature → tag → weight from three texts, in which a line is a feature.

    They name the feature, the places of its tags, and its weights times 1,000. So they compress better than pairs.
    """
    lines = zip(features.split("\n"), columns.split("\n"), thousandths.split("\n"), strict=True)
    return {
        feature: {
            tags[int(tag)]: int(weight) / 1000
            for tag, weight in zip(of.split(","), by.split(","), strict=True)
        }
        for feature, of, by in lines
    }


def load_lemmas() -> LemmaTables:
    """Return the single words of WordNet 3.0."""
    content = json.loads(lzma.decompress(_read(WORDNET)))
    return LemmaTables(
        {part: frozenset(words.split()) for part, words in content["lemmas"].items()},
        {
            part: {form: tuple(found.split()) for form, found in forms.items()}
            for part, forms in content["irregular"].items()
        },
    )


def load_sentence_rules() -> SentenceRules:
    """Return the part of Punkt's English model (Kiss and Strunk 2006) that decides on lower-cased text."""
    content = json.loads(_read(SENTENCES))
    return SentenceRules(frozenset(content["abbreviations"]), frozenset(content["openers"]))


def _read(name: str) -> bytes:
    return (files("eidolon.scorers.text") / "data" / name).read_bytes()
