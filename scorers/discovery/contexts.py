"""Vectors of nouns and of their mentions from the words around them: positive pointwise mutual information and an SVD.

Levy and Goldberg (2014) show that this is what word2vec factorises. Nothing needs to be downloaded.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.judges.embeddings import Embedder
from eidolon.scorers.judges.noun_readers import NounReader
from eidolon.scorers.text.english import FUNCTION_WORDS
from eidolon.scorers.text.singular_nouns import singular
from eidolon.scorers.text.tagged import spans_of_words

WINDOW: Final = 5
"""Words on each side that are context."""
CONTEXTS: Final = 1500
"""Words that count as context: the most frequent ones."""
SIZE: Final = 48
"""Numbers in a vector."""
SHOWN: Final = 90
"""Characters of an example on each side of the noun."""
KEPT: Final = 8
"""Mentions of a noun whose contexts are kept, drawn at random."""
BESIDE: Final = 2
"""Words on each side of a mention that an embedder reads. More were worse: a sentence says more about the scene."""

_ENDS = re.compile(r"[.!?\n]")


@dataclass(frozen=True, slots=True)
class Contexts:
    """Some mentions of nouns, each with what is around it."""

    noun: NDArray[np.int64]
    """The row of each mention's noun, shape (mentions,), in ascending order."""
    vectors: FloatArray
    """Shape (mentions, SIZE or the width of the embedder), rows of length 1."""


@dataclass(frozen=True, slots=True)
class NounVectors:
    """The nouns of a set of responses, the most frequent first."""

    nouns: tuple[str, ...]
    counts: tuple[int, ...]
    """Mentions of each noun."""
    words: tuple[int, ...]
    """Occurrences of each noun as a word: as a noun, a verb, or before another noun."""
    vectors: FloatArray
    """Shape (nouns, SIZE or the width of the embedder), rows of length 1."""
    examples: tuple[str, ...]
    """Where the noun occurs first, with what is around it."""
    contexts: Contexts
    """Up to `KEPT` mentions of each noun."""


class _Kept:
    """Up to `KEPT` of a noun's mentions, each equally likely to be there (Vitter's algorithm R), by a fixed seed."""

    def __init__(self) -> None:
        self.seen = 0
        self.mentions: list[tuple[tuple[str, ...], str]] = []
        self._rng = np.random.default_rng(0)

    def add(self, words: Sequence[str], phrase: str) -> None:
        self.seen += 1
        if self.seen <= KEPT:
            self.mentions.append((tuple(words), phrase))
        elif (place := int(self._rng.integers(self.seen))) < KEPT:
            self.mentions[place] = (tuple(words), phrase)


def read_nouns(
    texts: Iterable[str], reader: NounReader, *, least: int = 5, embedder: Embedder | None = None
) -> NounVectors:
    """Return the nouns with at least `least` mentions, and the vectors of nouns and mentions.

    They are of context words, or the embedder's: of the noun alone, and of the mention with the words beside it.
    """
    counts: Counter[str] = Counter()
    around: dict[str, Counter[str]] = {}
    examples: dict[str, str] = {}
    kept: dict[str, _Kept] = {}
    occurrences: Counter[str] = Counter()
    for text in texts:
        spans = spans_of_words(text)
        occurrences.update(singular(word) for word, _, _ in spans)
        words = [(singular(word), start, end) for word, start, end in spans if word not in FUNCTION_WORDS]
        starts = np.array([start for _, start, _ in words])
        for noun in reader.read_all([text])[0]:
            counts[noun.lemma] += 1
            at = int(np.searchsorted(starts, noun.start))
            near = words[max(at - WINDOW, 0) : at + WINDOW + 1]
            context = [word for word, start, end in near if end <= noun.start or start >= noun.end]
            around.setdefault(noun.lemma, Counter()).update(context)
            kept.setdefault(noun.lemma, _Kept()).add(context, phrase_around(text, noun.start, noun.end))
            low = max(noun.start - SHOWN, 0)
            examples.setdefault(noun.lemma, " ".join(text[low : noun.end + SHOWN].split()))
    nouns = [noun for noun, count in counts.most_common() if count >= least]
    row = np.repeat(np.arange(len(nouns)), [len(kept[noun].mentions) for noun in nouns])
    mentions = [one for noun in nouns for one in kept[noun].mentions]
    if embedder is None or not nouns:
        columns = context_columns(nouns, around)
        vectors, words_of_context = factor(ppmi(nouns, around))
        near_mentions = mean_vectors([words for words, _ in mentions], columns, words_of_context)
    else:
        vectors = embed(nouns, embedder)
        near_mentions = embed([phrase for _, phrase in mentions], embedder)
    return NounVectors(
        tuple(nouns),
        tuple(counts[noun] for noun in nouns),
        tuple(occurrences[noun] for noun in nouns),
        vectors,
        tuple(examples[noun] for noun in nouns),
        Contexts(row.astype(np.int64), near_mentions),
    )


def phrase_around(text: str, start: int, end: int) -> str:
    """Return `text[start:end]` with up to `BESIDE` words of its sentence on each side."""
    before = _ENDS.split(text[:start])[-1].split()[-BESIDE:]
    after = _ENDS.split(text[end:], maxsplit=1)[0].split()[:BESIDE]
    return " ".join([*before, text[start:end], *after])


def embed(nouns: Sequence[str], embedder: Embedder) -> FloatArray:
    """Return the embeddings of nouns or phrases, each of length 1."""
    return unit(embedder.embed(nouns))


def context_columns(nouns: Sequence[str], around: dict[str, Counter[str]]) -> dict[str, int]:
    """Return the words that count as context, each with its column in the table of `ppmi`."""
    total: Counter[str] = Counter()
    for noun in nouns:
        total.update(around[noun])
    return {word: i for i, (word, _) in enumerate(total.most_common(CONTEXTS))}


def ppmi(nouns: Sequence[str], around: dict[str, Counter[str]]) -> FloatArray:
    """Return the positive pointwise mutual information of nouns and context words, shape (nouns, contexts)."""
    column = context_columns(nouns, around)
    table = np.zeros((len(nouns), len(column)))
    for row, noun in enumerate(nouns):
        for word, count in around[noun].items():
            if word in column:
                table[row, column[word]] = count
    rows, columns = table.sum(axis=1, keepdims=True), table.sum(axis=0, keepdims=True)
    expected = rows * columns / max(table.sum(), 1.0)
    found: FloatArray = np.log(
        np.maximum(np.divide(table, expected, out=np.ones_like(table), where=table > 0), 1.0)
    )
    return found


def factor(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return vectors of the rows and of the columns in `SIZE` dimensions at most; those of the rows have length 1.

    Axes are weighted by the root of their size on both sides.
    """
    if not table.size:
        return np.zeros((len(table), 0)), np.zeros((table.shape[1], 0))
    left, sizes, right = np.linalg.svd(table, full_matrices=False)
    root = np.sqrt(sizes[:SIZE])
    columns: FloatArray = right[:SIZE].T * root
    return unit(left[:, :SIZE] * root), columns


def mean_vectors(
    mentions: Sequence[Sequence[str]], columns: dict[str, int], vectors: FloatArray
) -> FloatArray:
    """Return the mean vector of each mention's context words, of length 1; zeros where none is known."""
    found = np.zeros((len(mentions), vectors.shape[1]))
    for row, words in enumerate(mentions):
        found[row] = vectors[[columns[word] for word in words if word in columns]].sum(axis=0)
    return unit(found)


def unit(vectors: FloatArray) -> FloatArray:
    """Return the rows with length 1; those of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: FloatArray = vectors / np.where(length > 0, length, 1.0)
    return found
