"""Vectors of nouns from the words around them: positive pointwise mutual information, reduced by an SVD.

Levy and Goldberg (2014) show that this is what word2vec factorises. Nothing needs to be downloaded.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

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


def read_nouns(
    texts: Iterable[str], reader: NounReader, *, least: int = 5, embedder: Embedder | None = None
) -> NounVectors:
    """Return the nouns with at least `least` mentions, and their vectors: of context words, or the embedder's."""
    counts: Counter[str] = Counter()
    around: dict[str, Counter[str]] = {}
    examples: dict[str, str] = {}
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
            low = max(noun.start - SHOWN, 0)
            examples.setdefault(noun.lemma, " ".join(text[low : noun.end + SHOWN].split()))
    nouns = [noun for noun, count in counts.most_common() if count >= least]
    return NounVectors(
        tuple(nouns),
        tuple(counts[noun] for noun in nouns),
        tuple(occurrences[noun] for noun in nouns),
        reduce(ppmi(nouns, around)) if embedder is None or not nouns else embed(nouns, embedder),
        tuple(examples[noun] for noun in nouns),
    )


def embed(nouns: Sequence[str], embedder: Embedder) -> FloatArray:
    """Return the embeddings of the nouns alone, without a context, each of length 1."""
    vectors = embedder.embed(nouns)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: FloatArray = vectors / np.where(length > 0, length, 1.0)
    return found


def ppmi(nouns: Sequence[str], around: dict[str, Counter[str]]) -> FloatArray:
    """Return the positive pointwise mutual information of nouns and context words, shape (nouns, contexts)."""
    total: Counter[str] = Counter()
    for noun in nouns:
        total.update(around[noun])
    column = {word: i for i, (word, _) in enumerate(total.most_common(CONTEXTS))}
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


def reduce(table: FloatArray) -> FloatArray:
    """Return the rows in `SIZE` dimensions at most, each of length 1. Axes are weighted by the root of their size."""
    if not table.size:
        return np.zeros((len(table), 0))
    left, sizes, _ = np.linalg.svd(table, full_matrices=False)
    found = left[:, :SIZE] * np.sqrt(sizes[:SIZE])
    length = np.linalg.norm(found, axis=1, keepdims=True)
    out: FloatArray = found / np.where(length > 0, length, 1.0)
    return out
