"""Filler: text of any length that names nothing a picture could show. The same name gives the same text.

Its words are ordinary, and all of them occur in the training of the shipped models, so that its effect on a model comes
from its length and not from unusual words.
"""

import hashlib
import re

LEADS = (
    "Overall,", "Altogether,", "In general,", "As a whole,", "To be fair,", "For some reason,", "Without a doubt,",
    "Even so,", "Still,", "Besides,", "Moreover,", "Then again,", "After all,", "Of course,", "By the way,",
    "Strangely,", "Perhaps", "Somehow", "Naturally,", "Honestly,", "Surely", "Once more,", "Quite simply,",
    "Meanwhile,", "Happily,", "Indeed,", "Maybe", "Now", "Well,", "Finally,", "Likewise,",
)  # fmt: skip
SUBJECTS = ("the mood", "the moment", "the day", "the feeling")
PREDICATES = (
    "seems calm and pleasant", "feels warm and a little sleepy", "has a quiet charm", "is neither dull nor loud",
    "reminds me of a slow afternoon", "gives a sense of order", "stays gentle and friendly",
    "could hardly be more peaceful", "leaves room for imagination", "tells a small story of its own",
    "is hard to put into words",
)  # fmt: skip
ASIDES = ("", " at this hour", " in its own way", " as if time had stopped for a while")


def filler(name: str, words: int) -> str:
    """Return whole sentences with at least that many words in all. A hash of the name draws each sentence."""
    sentences: list[str] = []
    count = 0
    while count < words:
        place = int.from_bytes(hashlib.sha256(f"{name}:{len(sentences)}".encode()).digest()[:8], "big")
        parts: list[str] = []
        for choices in (LEADS, SUBJECTS, PREDICATES, ASIDES):
            place, chosen = divmod(place, len(choices))
            parts.append(choices[chosen])
        lead, subject, predicate, aside = parts
        sentences.append(f"{lead} {subject} {predicate}{aside}.")
        count += len(sentences[-1].split())
    return " ".join(sentences)


def random_words(name: str, words: int) -> str:
    """Return the words of `filler` in random order, in lower case and without punctuation.

    The same words as in sentences, but none of them can be predicted from those before it.
    """
    found = re.findall(r"[a-z']+", filler(name, words).lower())

    def place(index: int) -> bytes:
        return hashlib.sha256(f"{name}:order:{index}".encode()).digest()

    return " ".join(found[index] for index in sorted(range(len(found)), key=place))
