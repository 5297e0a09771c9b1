"""CompreCap: what a caption says of an annotated scene graph (Lu et al., CVPR 2025)."""

import base64
import binascii
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.judges.embeddings import Embedder
from eidolon.scorers.judges.matching import NameMatcher, cosines
from eidolon.scorers.judges.noun_readers import NounReader
from eidolon.scorers.judges.phrase_raters import TOP, Asked, PhraseRater

_SENTENCE_END = re.compile(r"\n|\\n|</s>|[.]")
"""Where the released program splits a caption, also inside a number."""


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """An object of an image."""

    category: str
    description: str
    """What it looks like, in a phrase."""
    relations: tuple[str, ...] = ()
    """How it stands to other objects, in sentences that name them."""
    mask: str | None = None
    """The pixels that it covers: a byte for each, compressed by zlib, in base64."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a caption covers, with the phrases that remain to be rated."""

    objects: dict[str, float]
    """By category, the similarity of the caption's closest noun; 0 where the object is not covered."""
    attributes: tuple[Asked, ...]
    """One for each annotated object."""
    relations: tuple[Asked, ...]


class GraphCoverage:
    """Finds the objects that a caption covers, and the sentences about them.

    A noun and a category belong together if each is the other's most similar. With `compat`, the sentences of a
    relation are found as in the released program: they include those of the object's relations before it, and each
    object without a relation moves the sentences of all later relations by one place.
    """

    def __init__(
        self, nouns: NounReader, names: NameMatcher, embedder: Embedder | None = None, *, compat: bool = True
    ) -> None:
        self._nouns, self._names, self._embedder, self._compat = nouns, names, embedder, compat

    def signature(self) -> str:
        """Return how nouns are found and compared."""
        compared = self._names.signature() if self._embedder is None else self._embedder.signature()
        return f"{self._nouns.signature()},{compared}"

    def cover_all(
        self, captions: Sequence[str], annotated: Sequence[Sequence[AnnotatedObject]]
    ) -> list[Coverage]:
        """Return what each caption covers of its annotated objects. The vectors of all are computed together."""
        split = [[part.strip() for part in _SENTENCE_END.split(text) if part.strip()] for text in captions]
        read = iter(self._nouns.read_all([sentence for sentences in split for sentence in sentences]))
        named = [
            [(noun.lemma, place) for place in range(len(sentences)) for noun in next(read)]
            for sentences in split
        ]
        if self._embedder is not None:
            phrases = {noun for found in named for noun, _ in found}
            phrases |= {item.category for items in annotated for item in items}
            if phrases:
                self._embedder.embed(sorted(phrases))
        return [self._cover(*one) for one in zip(split, named, annotated, strict=True)]

    def cover(self, caption: str, annotated: Sequence[AnnotatedObject]) -> Coverage:
        """Return what one caption covers of the annotated objects."""
        return self.cover_all([caption], [annotated])[0]

    def _cover(
        self,
        sentences: Sequence[str],
        nouns: Sequence[tuple[str, int]],
        annotated: Sequence[AnnotatedObject],
    ) -> Coverage:
        categories = [*dict.fromkeys(item.category for item in annotated)]
        alike = self._alike(categories, [noun for noun, _ in nouns])
        matched = _mutual_best(alike)
        covered = {
            name: float(alike[i].max()) if matched[i].any() else 0.0 for i, name in enumerate(categories)
        }
        places = {
            name: sorted(nouns[int(j)][1] for j in np.flatnonzero(matched[i]))
            for i, name in enumerate(categories)
        }
        about = [places[item.category] for item in annotated]
        attributes = tuple(
            Asked(item.description, _joined(sentences, found if self._compat else sorted(set(found))))
            for item, found in zip(annotated, about, strict=True)
        )
        return Coverage(covered, attributes, tuple(self._relations(annotated, about, sentences)))

    def _alike(self, categories: Sequence[str], nouns: Sequence[str]) -> FloatArray:
        if not categories or not nouns:
            return np.zeros((len(categories), len(nouns)))
        if self._embedder is not None:
            return cosines(self._embedder.embed(categories), self._embedder.embed(nouns))
        ours = [self._names.canonical(noun) for noun in nouns]
        theirs = [self._names.canonical(name) for name in categories]
        return np.array([[name == one for one in ours] for name in theirs], dtype=float)

    def _relations(
        self,
        annotated: Sequence[AnnotatedObject],
        about: Sequence[Sequence[int]],
        sentences: Sequence[str],
    ) -> list[Asked]:
        texts: list[str] = []
        phrases: list[str] = []
        for k, item in enumerate(annotated):
            places = [*about[k]]
            for relation in item.relations:
                if not self._compat:
                    places = [*about[k]]
                for other, found in enumerate(about):
                    if other != k and annotated[other].category in relation:
                        places += found
                phrases.append(relation)
                texts.append(_joined(sentences, sorted(set(places))))
            if not item.relations and self._compat:
                texts.append("")
        return [Asked(phrase, text) for phrase, text in zip(phrases, texts, strict=False)]


def rated(ratings: Sequence[float | None]) -> float | None:
    """Return the mean of the ratings that there are, None without any."""
    known = [rating for rating in ratings if rating is not None]
    return sum(known) / len(known) if known else None


def rate_all(
    rater: PhraseRater, coverages: Sequence[Coverage]
) -> list[tuple[list[float | None], list[float | None]]]:
    """Return the ratings of attributes and of relations for each caption. All phrases are rated together."""
    attributes = iter(rater.rate([asked for one in coverages for asked in one.attributes], relations=False))
    relations = iter(rater.rate([asked for one in coverages for asked in one.relations], relations=True))
    return [
        ([next(attributes) for _ in one.attributes], [next(relations) for _ in one.relations])
        for one in coverages
    ]


def check_masks(masks: Sequence[str]) -> None:
    """Check the masks of an image.

    Raises:
        ValueError: one cannot be decoded, or they differ in size.
    """
    sizes = sorted({len(_decoded(mask)) for mask in masks})
    if len(sizes) > 1:
        raise ValueError(f"its masks cover {sizes[0]} and {sizes[1]} pixels")


def pixel_coverage(masks: Sequence[str], ratings: Sequence[float | None]) -> float | None:
    """Return the share of the annotated pixels that is covered, each weighted by its object's rating of 5.

    Where objects overlap, ratings add up to at most 5. None without annotated pixels. The masks have been checked.
    """
    seen: FloatArray | None = None
    total: NDArray[np.bool_] | None = None
    for mask, rating in zip(masks, ratings, strict=True):
        pixels = _decoded(mask)
        if seen is None or total is None:
            seen, total = np.zeros(len(pixels)), np.zeros(len(pixels), dtype=bool)
        seen = np.clip(seen + pixels * (rating or 0) / TOP, 0, 1)
        total |= pixels
    if seen is None or total is None or not total.any():
        return None
    return float(seen.sum() / total.sum())


def _decoded(mask: str) -> NDArray[np.bool_]:
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(mask, validate=True)), dtype=np.uint8) > 0
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"a mask is no base64 of zlib bytes ({error})") from None


def _mutual_best(alike: FloatArray) -> NDArray[np.bool_]:
    """Tell which pairs are each other's most similar. Without any similarity there is no pair."""
    if alike.size == 0:
        return np.zeros(alike.shape, dtype=bool)
    best = (alike == alike.max(axis=0, keepdims=True)) & (alike == alike.max(axis=1, keepdims=True))
    return np.asarray(best & (alike > 0), dtype=bool)


def _joined(sentences: Sequence[str], places: Sequence[int]) -> str:
    return ". ".join(sentences[place] for place in places)
