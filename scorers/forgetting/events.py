"""Every mention of every response as one row: its position, its verdict, and what was still unnamed before it."""

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
    """Properties of the responses. Arrays have shape (responses,)."""

    image: IntArray
    """Index of the image, in the order in which the bootstrap resamples them."""
    words: IntArray
    """Length, in whitespace-separated words."""
    tokens: FloatArray
    """Length in generated tokens, NaN if the backend does not report it."""
    true_objects: IntArray
    """Number of categories in the image."""

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, slots=True)
class Mentions:
    """The counted mentions of all responses in reading order. Arrays have shape (mentions,)."""

    response: IntArray
    """Index of the response."""
    word: IntArray
    """Words before the mention in its response."""
    token: FloatArray
    """Tokens before the mention, NaN if the backend does not report them."""
    hallucinated: BoolArray
    first: BoolArray
    """Whether the response names the category for the first time."""
    unnamed: IntArray
    """True categories that the response has not named before."""
    earlier: IntArray
    """Distinct categories that the response has named before."""
    prior: FloatArray
    """Probability that a category drawn by its prevalence, among those not named yet, is not in the image."""
    largest: FloatArray
    """Share of the image that the largest unnamed true object with known area covers. NaN without any. An object that
    only captions name has no box, and is usually small."""

    def __len__(self) -> int:
        return len(self.response)

    def select(self, rows: BoolArray) -> "Mentions":
        """Return some of the mentions. Their response indexes do not change."""
        return Mentions(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Events:
    """Responses and their mentions."""

    responses: Responses
    mentions: Mentions


def read_events(samples: Sequence[JudgedSample]) -> Events:
    """Return the counted mentions of judged samples.

    Ignored mentions are left out, and so are true categories that a response names by ignored mentions only.
    Prevalence is that of the samples' own images: each image counts once, and the image itself is left out.

    Raises:
        ValueError: the judge does not locate its mentions.
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
    """Return the area of the largest unnamed object with known area, NaN without any."""
    return max((sample.areas[name] for name in unnamed if name in sample.areas), default=np.nan)


class _Prevalence:
    """The number of images that hold each category, and the error rate of a guesser by prevalence."""

    def __init__(self, samples: Sequence[JudgedSample]) -> None:
        self._images: dict[str, int] = {}
        for objects in {s.response.image_id: s.objects for s in samples}.values():
            for category in objects:
                self._images[category] = self._images.get(category, 0) + 1
        self._total = sum(self._images.values())

    def wrong_guess(self, sample: JudgedSample, named: set[str]) -> float:
        """Return the probability that the next new category is not in the image, if it is drawn by prevalence.

        NaN if no category is left.
        """
        objects = sample.objects
        counts = self._images
        left = self._total - len(objects) - sum(counts.get(c, 0) - (c in objects) for c in named)
        right = sum(counts[c] - 1 for c in objects if c not in named)
        return 1 - right / left if left > 0 else np.nan


def _columns(rows: Sequence[tuple[float, ...]], width: int) -> FloatArray:
    return np.array(rows, dtype=float).reshape(len(rows), width).T
