"""Every mention of every response as one row: where it stands, whether it is true, what was left to name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray, JudgedSample
from eidolon.scorers.core.types import Mention
from eidolon.scorers.core.verdict import cells, counted_mentions
from eidolon.scorers.statistics.bootstrap import cluster_ids

IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Responses:
    """What is known of each response, shape (responses,)."""

    image: IntArray
    """Index of its image, in the order in which the bootstrap resamples them."""
    words: IntArray
    """Its length, in whitespace-separated words."""
    tokens: FloatArray
    """Its length in generated tokens, NaN where the backend did not say."""
    true_objects: IntArray
    """Categories in the picture."""

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, slots=True)
class Mentions:
    """The counted mentions of all responses in reading order, shape (mentions,)."""

    response: IntArray
    """Index of its response."""
    word: IntArray
    """Words before it in its response."""
    token: FloatArray
    """Tokens before it, NaN where the backend did not say."""
    hallucinated: BoolArray
    first: BoolArray
    """Whether its response names the category here for the first time."""
    unnamed: IntArray
    """True categories of the picture that its response has not named before it."""
    earlier: IntArray
    """Distinct categories that its response has named before it."""
    prior: FloatArray
    """Chance that a category drawn by its prevalence, among those not named yet, is not in the picture."""
    largest: FloatArray
    """Share of the picture that the largest true object still unnamed covers, of those whose area is known; NaN
    without any. What captions alone name has no box: it is mostly small."""

    def __len__(self) -> int:
        return len(self.response)

    def select(self, rows: BoolArray) -> "Mentions":
        """Return some of the mentions, their responses keeping their numbers."""
        return Mentions(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Events:
    """Responses and their mentions."""

    responses: Responses
    mentions: Mentions


def read_events(samples: Sequence[JudgedSample]) -> Events:
    """Lay out the counted mentions of judged samples.

    Ignored mentions, and the true categories that a response names by ignored mentions alone, are left out, as
    everywhere. A judge that does not say where it found a category gives mentions without a span; they raise
    `ValueError`. Prevalence is that of the samples' own images, each image once and the one looked at left out.
    """
    images = {image: i for i, image in enumerate(cluster_ids([s.response.image_id for s in samples]))}
    prevalence = _Prevalence(samples)
    responses, mentions = [], []
    for index, sample in enumerate(samples):
        response = sample.response
        text, truth = response.response or "", cells(sample).truth
        words, tokens = len(text.split()), response.completion_tokens
        responses.append((images[response.image_id], words, np.nan if tokens is None else tokens, len(truth)))
        named: set[str] = set()
        for mention in in_order(sample):
            if mention.end == 0:
                raise ValueError(
                    f"sample {response.sample_id!r}: the judge does not say where it reads an object"
                )
            new = mention.category not in named
            mentions.append(
                (
                    index,
                    mention.word,
                    np.nan if mention.token is None else mention.token,
                    mention.verdict == "hallucinated",
                    new,
                    len(truth - named),
                    len(named),
                    prevalence.wrong_guess(sample, named) if new else np.nan,
                    _largest(sample, truth - named),
                )
            )
            named.add(mention.category)
    image, words_, tokens_, true_objects = _columns(responses, 4)
    response_, word, token, hallucinated, first, unnamed, earlier, prior, largest = _columns(mentions, 9)
    return Events(
        Responses(image.astype(np.intp), words_.astype(np.intp), tokens_, true_objects.astype(np.intp)),
        Mentions(
            response_.astype(np.intp),
            word.astype(np.intp),
            token,
            hallucinated.astype(bool),
            first.astype(bool),
            unnamed.astype(np.intp),
            earlier.astype(np.intp),
            prior,
            largest,
        ),
    )


def in_order(sample: JudgedSample) -> list[Mention]:
    """Return the counted mentions of a sample in reading order: those of its rows."""
    return sorted(counted_mentions(sample), key=lambda mention: (mention.start, mention.end))


def _largest(sample: JudgedSample, unnamed: frozenset[str]) -> float:
    """Return the area of the largest of some true objects, of those whose area is known; NaN without any."""
    return max((sample.areas[name] for name in unnamed if name in sample.areas), default=np.nan)


class _Prevalence:
    """How many images hold each category, and what a guesser makes of it."""

    def __init__(self, samples: Sequence[JudgedSample]) -> None:
        self._images: dict[str, int] = {}
        for objects in {s.response.image_id: s.objects for s in samples}.values():
            for category in objects:
                self._images[category] = self._images.get(category, 0) + 1
        self._total = sum(self._images.values())

    def wrong_guess(self, sample: JudgedSample, named: set[str]) -> float:
        """Return the chance that the next new category is not in the picture if it is drawn by prevalence.

        NaN where no category is left to draw.
        """
        objects = sample.objects
        counts = self._images
        left = self._total - len(objects) - sum(counts.get(c, 0) - (c in objects) for c in named)
        right = sum(counts[c] - 1 for c in objects if c not in named)
        return 1 - right / left if left > 0 else np.nan


def _columns(rows: Sequence[tuple[float, ...]], width: int) -> FloatArray:
    return np.array(rows, dtype=float).reshape(len(rows), width).T
