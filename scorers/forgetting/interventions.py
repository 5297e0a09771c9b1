"""Interventions during generation: the picture or the text so far is exchanged at token t, and the model continues.

    own      nothing is changed
    blank    a grey picture replaces the picture
    swap     the picture of another sample replaces it
    again    the picture is shown once more after the text
    clean    a text of the same length replaces the model's own: filler, then a sentence with the true objects it named
    planted  as clean, and the sentence also names an object that is not there

All continuations of an image at one t share a stream of random numbers, so that their differences are paired. The text
so far is read again after a change. What is named in the next `WINDOW` words is counted.

    picture    own - swap     how much the picture is used from t on
    reminder   again - own    what seeing the picture again changes
    planted    planted - clean    snowballing: what one wrong object in the text changes
    own text   own - clean    reliance on its own words, with as much named

Later in a text harder objects are left, so that the effect of the picture may fall though nothing is forgotten. A
second look at the picture changes nothing then. So the verdict is about the reminder: it is forgetting if a second look
lowers the share of wrong mentions by more at the last t than at the first.
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, Share, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.continued_turn import ContinuedTurn
from eidolon.scorers.forgetting.forced_orders import COLUMNS, LEAST_IMAGES, ImageTruth, count
from eidolon.scorers.forgetting.paired_effects import with_width
from eidolon.scorers.statistics.bootstrap import bootstrap

Arm: TypeAlias = Literal["own", "blank", "swap", "again", "clean", "planted"]
ARMS: tuple[Arm, ...] = get_args(Arm)
"""In the order of their numbers in `interventions.jsonl`."""
Effect: TypeAlias = Literal["picture", "blank", "reminder", "planted", "own text"]
EFFECTS: dict[Effect, tuple[Arm, Arm]] = {
    "picture": ("own", "swap"),
    "blank": ("own", "blank"),
    "reminder": ("again", "own"),
    "planted": ("planted", "clean"),
    "own text": ("own", "clean"),
}
"""The first arm minus the second."""
QUANTITIES = ("recall", "rate", "per_100")
InterventionVerdict: TypeAlias = Literal["a second look helps more later", "no change shown", "not measured"]


class InterventionTurn(ContinuedTurn):
    """A line of `interventions.jsonl`: a turn that was changed at token t, and how the model continued it."""

    at: int
    """Least tokens before the change."""
    tokens: int
    """Tokens before the change: the text ends with a sentence."""
    arm: Arm
    donor: str | None = Field(None, exclude_if=operator.not_)
    """In the arm `swap`, the sample whose picture is shown."""
    planted: str | None = Field(None, exclude_if=operator.not_)
    """In the arm `planted`, the object that is not there."""


class ArmAt(Record):
    """What was named after one change at one t."""

    model_config = ConfigDict(allow_inf_nan=False)

    arm: Arm
    at: int
    images: int
    recall: Estimate
    """Share of the true objects unnamed at t that are named."""
    rate: Estimate
    """Share of the first mentions that are wrong."""
    per_100: Estimate
    """Wrong first mentions per 100 words."""


class EffectAt(Record):
    """A paired difference of two arms at one t."""

    model_config = ConfigDict(allow_inf_nan=False)

    effect: Effect
    at: int | None
    """Null: the change from the first t to the last, over images with both."""
    images: int
    recall: Estimate
    rate: Estimate
    per_100: Estimate
    reason: str | None = None
    """Why there is no difference."""


class InterventionsSummary(Record):
    """All results of the interventions."""

    images: int
    unscored: int
    """Turns that could not be continued or judged."""
    verdict: InterventionVerdict
    arms: tuple[ArmAt, ...]
    effects: tuple[EffectAt, ...]
    reason: str | None = None
    """Why there are no results."""

    def effect(self, name: Effect, at: int | None) -> EffectAt | None:
        """Return an effect, None if it was not measured."""
        return next((one for one in self.effects if (one.effect, one.at) == (name, at)), None)


def no_interventions(reason: str) -> InterventionsSummary:
    """Return the results without any turn."""
    return InterventionsSummary(
        images=0, unscored=0, verdict="not measured", arms=(), effects=(), reason=reason
    )


def measure_interventions(
    turns: Sequence[InterventionTurn],
    truth: Mapping[str, ImageTruth],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> InterventionsSummary:
    """Return the effects by t. `truth` is by sample id.

    Intervals are percentile bootstraps over images. An effect takes the images in which both arms were judged.
    """
    counts = {
        (turn.sample_id, turn.at, turn.arm): _count(turn, truth[turn.sample_id])
        for turn in turns
        if turn.unscored is None
    }
    image_of = {turn.sample_id: turn.image_id for turn in turns}
    times = sorted({turn.at for turn in turns})

    def measure(weights: Mapping[tuple[int, Arm], float]) -> tuple[int, dict[str, Estimate]]:
        """Return a weighted sum of arms over the samples that have all of them."""
        samples = [i for i in image_of if all((i, *key) in counts for key in weights)]
        rows = np.array([[counts[i, *key] for key in weights] for i in samples])
        statistics = rows.reshape(len(samples), len(weights) * len(COLUMNS))
        images = [image_of[i] for i in samples]

        def compute(totals: FloatArray) -> dict[str, FloatArray]:
            return _combine(totals, [*weights.values()])

        found = bootstrap(
            statistics,
            images,
            compute,
            shares=_shares if len(weights) == 1 else None,
            seed=seed,
            resamples=resamples,
        )
        return len(set(images)), {name: found[name].estimate() for name in QUANTITIES}

    arms = []
    for at in times:
        for arm in ARMS:
            images, numbers = measure({(at, arm): 1.0})
            if images:
                arms.append(ArmAt(arm=arm, at=at, images=images, **numbers))
    effects = []
    for name, (one, other) in EFFECTS.items():
        for at in times:
            effects.append(_effect(name, at, *measure({(at, one): 1.0, (at, other): -1.0})))
        if len(times) > 1:
            first, last = times[0], times[-1]
            weights = {(last, one): 1.0, (last, other): -1.0, (first, one): -1.0, (first, other): 1.0}
            effects.append(_effect(name, None, *measure(weights)))
    reminder = next((one for one in effects if (one.effect, one.at) == ("reminder", None)), None)
    return InterventionsSummary(
        images=len(set(image_of.values())),
        unscored=sum(turn.unscored is not None for turn in turns),
        verdict=_verdict(reminder),
        arms=tuple(arms),
        effects=tuple(effects),
        reason=None if turns else "no description is long enough",
    )


def _count(turn: InterventionTurn, truth: ImageTruth) -> list[float]:
    return count(turn.response or "", turn.mentions, truth, len(turn.given.split()))


def _shares(totals: FloatArray) -> dict[str, Share]:
    """Map the totals of one arm, (..., columns), to the events and trials of its shares, each (...)."""
    of = dict(zip(COLUMNS, np.moveaxis(totals, -1, 0), strict=True))
    return {
        "recall": Share(of["recalled"], of["left"]),
        "rate": Share(of["hallucinated"], of["mentions"]),
        "per_100": Share.per_100_words(
            of["hallucinated"] + of["forced"], of["mentions"] + of["forced"], of["words"]
        ),
    }


def _combine(totals: FloatArray, weights: Sequence[float]) -> dict[str, FloatArray]:
    """Map totals (..., arms · columns) to weighted sums of the quantities, shape (...)."""
    columns = np.moveaxis(totals.reshape(*totals.shape[:-1], len(weights), len(COLUMNS)), -1, 0)
    of = dict(zip(COLUMNS, columns, strict=True))
    by_arm = {
        "recall": ratio(of["recalled"], of["left"]),
        "rate": ratio(of["hallucinated"], of["mentions"]),
        "per_100": 100 * ratio(of["hallucinated"] + of["forced"], of["words"]),
    }
    return {name: np.asarray(values @ np.array(weights)) for name, values in by_arm.items()}


def _effect(name: Effect, at: int | None, images: int, numbers: Mapping[str, Estimate]) -> EffectAt:
    if images < LEAST_IMAGES:
        nothing = dict.fromkeys(QUANTITIES, Estimate.undefined())
        reason = f"{images} images with both, fewer than {LEAST_IMAGES}"
        return EffectAt(effect=name, at=at, images=images, **nothing, reason=reason)
    largest = 1.0 if at is not None else 2.0
    return EffectAt(effect=name, at=at, images=images, **with_width(numbers, images=images, largest=largest))


def _verdict(reminder: EffectAt | None) -> InterventionVerdict:
    if reminder is None or reminder.rate.ci is None:
        return "not measured"
    return "a second look helps more later" if reminder.rate.ci[1] < 0 else "no change shown"
