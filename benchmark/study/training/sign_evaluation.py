"""Evaluates a model of signs on names that it was never trained on: recall@1 in a gallery, and false acceptance."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from eidolon.benchmark.scenes.sign_drawing import crop
from eidolon.benchmark.scenes.sign_names import KINDS, Part, names_of
from eidolon.benchmark.study.training.evaluation import BoundedEstimate
from eidolon.scorers.core.metric import FloatArray, Share, ratio
from eidolon.scorers.statistics.bootstrap import bootstrap

EXAMPLES = 4
"""Crops of each name in the gallery, and as many questions."""
HEIGHT = 40
"""Pixels of the height of the crops."""
ACCEPTED = 0.9
"""Share of the known signs that the threshold accepts."""


class Reader(Protocol):
    """What is evaluated."""

    def embed_images(self, images: Sequence[Image.Image], /) -> NDArray[np.float32]:
        """Return vectors of crops, (images, dimensions)."""
        ...

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return vectors of names, (texts, dimensions)."""
        ...

    def read(self, images: Sequence[Image.Image], /) -> Sequence[str]:
        """Return the word on each crop."""
        ...


class SignEvaluation(BaseModel):
    """Results on the names of the test part. The 95 % intervals are bootstraps over families."""

    model_config = ConfigDict(frozen=True)

    names: int
    seed: int
    recall: BoundedEstimate
    """Share of the crops whose nearest prototype is that of their own name (recall@1)."""
    by_kind: dict[str, BoundedEstimate]
    """By how the names of the family look alike."""
    one_example: BoundedEstimate
    """recall@1 with one crop of each name in the gallery."""
    by_name: BoundedEstimate
    """recall@1 with the names in place of the gallery: no crop of any of them was seen."""
    spelled: BoundedEstimate
    """Share of the crops whose every letter is read."""
    confused_within: float | None
    """Share of the errors that name a member of the same family."""
    accepted: float
    false_acceptance: BoundedEstimate
    """Share of the crops with unknown names that the threshold accepts which accepts `accepted` of the known."""


def prototypes(vectors: NDArray[np.float32], examples: int) -> NDArray[np.float32]:
    """Return the normalised mean of every `examples` vectors that follow each other."""
    means = vectors.reshape(-1, examples, vectors.shape[1]).mean(1)
    found: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return found


@lru_cache(maxsize=8)
def crops(part: Part, purpose: str, seed: int, height: int = HEIGHT) -> tuple[Image.Image, ...]:
    """Return EXAMPLES crops of every name of a part, name by name. Those of another height show the same signs."""
    found = []
    for number, name in enumerate(names_of(part)):
        rng = np.random.default_rng([seed, number, *f"{part} {purpose}".encode()])
        found += [crop(name.name, rng, height) for _ in range(EXAMPLES)]
    return tuple(found)


def recognised(reader: Reader, height: int, *, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.int_]]:
    """Return whether each crop of a test name is nearest to the prototype of its own name, and its family.

    The prototypes are made of crops of the usual height, and the crops to recognise have `height` pixels. Shapes
    (names * EXAMPLES,).
    """
    names = names_of("test")
    gallery = prototypes(reader.embed_images(crops("test", "gallery", seed)), EXAMPLES)
    own = np.repeat(np.arange(len(names)), EXAMPLES)
    nearest = (reader.embed_images(crops("test", "question", seed, height)) @ gallery.T).argmax(1)
    return nearest == own, np.array([names[i].family for i in own])


def evaluate_signs(reader: Reader, *, seed: int = 0, resamples: int = 2000) -> SignEvaluation:
    """Return the results of a reader on the names of the test; those of validation are the unknown names."""
    names = names_of("test")
    texts = [name.name for name in names]
    examples = reader.embed_images(crops("test", "gallery", seed))
    questions = reader.embed_images(crops("test", "question", seed))
    gallery = prototypes(examples, EXAMPLES)
    scores = questions @ gallery.T
    own = np.repeat(np.arange(len(names)), EXAMPLES)
    nearest = scores.argmax(1)
    right = nearest == own
    families = np.array([name.family for name in names])
    errors = np.flatnonzero(~right)
    within = families[nearest[errors]] == families[own[errors]]
    threshold = np.quantile(scores[np.arange(len(own)), own], 1 - ACCEPTED)
    unknown = names_of("validation")
    strangers = reader.embed_images(crops("validation", "question", seed))
    accepted = (strangers @ gallery.T).max(1) >= threshold
    one = (questions @ examples[::EXAMPLES].T).argmax(1) == own
    by_name = (questions @ reader.embed_texts(texts).T).argmax(1) == own
    words = zip(reader.read(crops("test", "question", seed)), own, strict=True)
    spelled = np.array([word == texts[i] for word, i in words])

    def rate(values: NDArray[np.bool_], groups: Sequence[int]) -> BoundedEstimate:
        return share(values, groups, seed=seed, resamples=resamples)

    kinds = np.array([names[i].kind for i in own])
    return SignEvaluation(
        names=len(names),
        seed=seed,
        recall=rate(right, families[own].tolist()),
        by_kind={kind: rate(right[kinds == kind], families[own][kinds == kind].tolist()) for kind in KINDS},
        one_example=rate(one, families[own].tolist()),
        by_name=rate(by_name, families[own].tolist()),
        spelled=rate(spelled, families[own].tolist()),
        confused_within=float(within.mean()) if len(errors) else None,
        accepted=ACCEPTED,
        false_acceptance=rate(accepted, [name.family for name in unknown for _ in range(EXAMPLES)]),
    )


def share(
    values: NDArray[np.bool_], families: Sequence[int], *, seed: int = 0, resamples: int = 2000
) -> BoundedEstimate:
    """Return the share of true values with its 95 % interval by a bootstrap over families."""
    statistics: FloatArray = np.stack([values, np.ones(len(values))], axis=-1).astype(float)
    result = bootstrap(
        statistics,
        [int(family) for family in families],
        lambda totals: {"rate": ratio(totals[..., 0], totals[..., 1])},
        shares=lambda totals: {"rate": Share(totals[..., 0], totals[..., 1])},
        seed=seed,
        resamples=resamples,
    )
    return result["rate"].estimate()
