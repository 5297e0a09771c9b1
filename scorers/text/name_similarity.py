"""How much two names look alike as text: shared beginnings, a letter off, the same letters in another order."""

from difflib import SequenceMatcher


def name_similarity(a: str, b: str) -> float:
    """Return 0 to 1: the larger of the Jaro-Winkler similarity and the share of letters in common. Case is ignored.

    Jaro-Winkler (nltk) favours shared beginnings, as in HEINZ and HEINEKEN. The letters in common find the same letters
    in another order.
    """
    from nltk.metrics.distance import jaro_winkler_similarity

    a, b = sorted((a.casefold(), b.casefold()))
    return max(
        float(jaro_winkler_similarity(a, b)), SequenceMatcher(None, a, b, autojunk=False).quick_ratio()
    )


def name_distance(a: str, b: str) -> int:
    """Return the edit distance (Levenshtein) of two names. Case is ignored."""
    from nltk.metrics.distance import edit_distance

    return int(edit_distance(a.casefold(), b.casefold()))


def most_similar(name: str, names: list[str]) -> list[str]:
    """Return the other names, the most similar first, by name where that is equal."""
    others = [other for other in dict.fromkeys(names) if other.casefold() != name.casefold()]
    return sorted(others, key=lambda other: (-name_similarity(name, other), other))
