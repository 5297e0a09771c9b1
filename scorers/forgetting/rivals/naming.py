"""Rival: which categories are left. A choice model of the next object over everything that is not named yet.

Each first mention is a choice among all categories that the response has not named. What is absent gets β·position.
A category's own propensity is held: how often it is named in the other images, where it is present and where it is
absent. So a model that names common categories first and then guesses rare ones does not look like a rise. Exhaustion
needs no covariate, because the set is what is left.

How easy this image's own objects are to see is still not held: responses alone do not have it. `--task forget` asks
the model, and gives the same choice model what it answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eidolon.scorers.core.metric import FloatArray, JudgedSample
from eidolon.scorers.core.verdict import cells
from eidolon.scorers.forgetting.events import BoolArray, Events, IntArray, in_order
from eidolon.scorers.forgetting.late_early import LEAST_OUTCOMES, PER, POSITION
from eidolon.scorers.forgetting.rivals.effect import HeldEffect, effect
from eidolon.scorers.statistics.choice_model import ChoiceSets, fit_choice
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError


@dataclass(frozen=True, slots=True)
class Named:
    """What is in the images, and what the first mentions name."""

    there: BoolArray
    """Shape (responses, categories)."""
    category: IntArray
    """The category of each first mention, in the order of the events, shape (first mentions,)."""


def read_named(samples: Sequence[JudgedSample]) -> Named:
    """Return the categories of the first mentions. The vocabulary is all that is in an image or named in the run."""
    rows = [[mention.category for mention in in_order(sample)] for sample in samples]
    truths = [cells(sample).truth for sample in samples]
    vocabulary = sorted({name for names in (*rows, *truths) for name in names})
    number = {name: at for at, name in enumerate(vocabulary)}
    there = np.zeros((len(samples), len(number)), dtype=bool)
    category: list[int] = []
    for at, (names, truth) in enumerate(zip(rows, truths, strict=True)):
        there[at, [number[name] for name in truth]] = True
        category += [number[name] for name in dict.fromkeys(names)]
    return Named(there, np.array(category, dtype=np.intp))


def fit_naming(events: Events, named: Named) -> HeldEffect:
    """Return the effect of position in the choice model. Mentions with no true object left are no choice and left out.

    Raises:
        NotEstimableError: the data do not determine it.
    """
    first = events.mentions.select(events.mentions.first)
    free = np.flatnonzero(first.unnamed > 0)
    wrong = ~named.there[first.response, named.category]
    if min(wrong[free].sum(), len(free) - wrong[free].sum()) < LEAST_OUTCOMES:
        raise NotEstimableError(
            f"{wrong[free].sum()} of {len(free)} first mentions are hallucinated; it takes {LEAST_OUTCOMES} of either "
            "kind"
        )
    left = _left(first.response, named)[free]
    mention, category = np.nonzero(left)
    response = first.response[free][mention]
    absent = ~named.there[response, category]
    propensity = _propensity(events, first.response, named)[response, category]
    words = events.responses.words[response].astype(float)
    true = np.maximum(events.responses.true_objects[response], 1)
    columns: dict[str, FloatArray] = {
        POSITION: absent * first.word[free][mention] / PER,
        "absent": absent.astype(float),
        "named where present": np.where(absent, 0.0, propensity),
        "named where absent": np.where(absent, propensity, 0.0),
        "absent, log words": absent * np.log(np.maximum(words, 1)),
        "absent, log true objects": absent * np.log(true.astype(float)),
    }
    chosen = named.category[free][mention] == category
    fit = fit_choice(ChoiceSets(columns, chosen, mention, events.responses.image[response]))
    if POSITION not in fit.names:
        raise NotEstimableError("all mentions are at the same position")
    return effect(*fit[POSITION])


def _left(response: IntArray, named: Named) -> BoolArray:
    """Return which categories each first mention could name, shape (first mentions, categories)."""
    left = np.ones((len(response), named.there.shape[1]), dtype=bool)
    for at in range(1, len(response)):
        if response[at] == response[at - 1]:
            left[at] = left[at - 1]
            left[at, named.category[at - 1]] = False
    return left


def _propensity(events: Events, response: IntArray, named: Named) -> FloatArray:
    """Return the log odds that a category is named in the other images, where it is as here present or absent.

    Shape (responses, categories). Half a mention is added to either side.
    """
    says = np.zeros_like(named.there)
    says[response, named.category] = True
    image = events.responses.image
    odds = np.zeros(named.there.shape)
    for state in (True, False):
        cell = named.there == state
        yes = _elsewhere((says & cell).astype(float), image)
        no = _elsewhere((~says & cell).astype(float), image)
        odds = np.where(cell, np.log((yes + 0.5) / (no + 0.5)), odds)
    return odds


def _elsewhere(counts: FloatArray, image: IntArray) -> FloatArray:
    """Return the sums over all responses to other images, shape (responses, categories)."""
    own = np.zeros((image.max(initial=-1) + 1, counts.shape[1]))
    np.add.at(own, image, counts)
    return np.asarray(counts.sum(axis=0) - own[image])
