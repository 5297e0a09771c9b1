"""The singular of an English noun as a word of English, by WordNet.

`singular` has the spellings of the library pattern, which the first CHAIR program needs. Those are often no words
("pastum", "focu"). This module is for nouns that people and language models read.
"""

from functools import cache, lru_cache

from eidolon.scorers.text.english import words
from eidolon.scorers.text.english_data import load_lemmas
from eidolon.scorers.text.plurals import singular_of

UNCHANGED = words(
    """
    binoculars bus cactus canvas chassis christmas clothes compass corps data debris gas goggles jeans lens media
    news octopus overalls pajamas pants pus pyjamas scissors series shorts skis species sunglasses tennis tights
    trousers walrus
    """
)
"""Words that look like plurals and stay as they are: they have no singular, or one of another meaning."""
_SHORTEST = 3
_ES = ("sses", "ches", "shes", "xes", "zes", "nses")
"""Endings of plurals in "es" whose singular has no "e" if WordNet has both ("bunch", "bunche")."""
_IE = words("foodie groupie hoodie onesie rookie selfie smoothie townie veggie walkie-talkie")
"""Nouns in "ie" that WordNet does not have."""
_CACHE = 100_000


@lru_cache(_CACHE)
def singular(noun: str) -> str:
    """Return the singular of a lower-cased noun, or the noun itself if it is singular: `dogs` → `dog`, `bus` → `bus`.

    The first form that the rules of English allow and WordNet has as a noun counts. A noun that WordNet does
    not have loses a regular ending.
    """
    if noun in UNCHANGED:
        return noun
    known, of_irregular = _nouns()
    irregular = singular_of(noun)
    if irregular is not None and (irregular in known or noun not in known):
        return irregular
    for form in _candidates(noun):
        if form in known or form in _IE:
            return form
    if noun in of_irregular and noun not in known:
        return of_irregular[noun][0]
    return noun if noun in known else _cut(noun)


def _candidates(noun: str) -> list[str]:
    """Return the singulars that a regular plural may have, the likeliest first."""
    if not noun.endswith("s") or noun.endswith("ss"):
        return []
    found = [noun[:-1]]
    if noun.endswith("ies"):
        found.append(noun[:-3] + "y")
    elif noun.endswith("ves"):
        found.append(noun[:-3] + "f")
    elif noun.endswith("es"):
        found.insert(0 if noun.endswith(_ES) else 1, noun[:-2])
    return [form for form in found if len(form) >= _SHORTEST]


def _cut(noun: str) -> str:
    """Return an unknown noun without a regular ending of the plural."""
    if not noun.endswith("s") or noun.endswith(("ss", "us", "is")) or len(noun) <= _SHORTEST:
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith(_ES) else noun[:-1]


@cache
def _nouns() -> tuple[frozenset[str], dict[str, tuple[str, ...]]]:
    lemmas, irregular = load_lemmas()
    return lemmas["n"], irregular["n"]
