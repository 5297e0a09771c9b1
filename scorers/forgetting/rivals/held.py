"""The rivals that are fitted, by name: what each holds beside the late-minus-early odds ratio."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from eidolon.scorers.forgetting.events import Events
from eidolon.scorers.forgetting.rivals.effect import HeldEffect
from eidolon.scorers.forgetting.rivals.history import fit_history
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms, fit_without_false_alarms
from eidolon.scorers.forgetting.rivals.naming import Named, fit_naming
from eidolon.scorers.forgetting.rivals.slopes import fit_slopes
from eidolon.scorers.forgetting.rivals.stopping import fit_stopping
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

RivalName: TypeAlias = Literal[
    "plain", "length", "snowball", "snowball_length", "stopping", "slopes", "naming", "judge"
]

JUDGE: Literal["judge"] = "judge"
"""The rival that needs the judge."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the rivals are fitted to."""

    events: Events
    named: Named
    alarms: FalseAlarms | None
    """None if the judge was not tested."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class HeldRival:
    """A rival explanation and its fit."""

    name: RivalName
    label: str
    """What the fit holds, for tables."""
    explanation: str
    """The rival, as the subject of "explains"."""
    fit: Callable[[Material], HeldEffect]


def _judge(material: Material) -> HeldEffect:
    if material.alarms is None:
        raise NotEstimableError("the judge could not be tested by position")
    return fit_without_false_alarms(material.events, material.alarms, seed=material.seed)


PLAIN = HeldRival(
    "plain",
    "salience not held",
    "",
    lambda material: fit_history(material.events, snowball=False, length=True),
)
HELD: tuple[HeldRival, ...] = (
    HeldRival(
        "length",
        "total length not held",
        "the total length",
        lambda material: fit_history(material.events, snowball=False, length=False),
    ),
    HeldRival(
        "snowball_length",
        "earlier wrong mentions held",
        "earlier wrong mentions",
        lambda material: fit_history(material.events, snowball=True, length=True),
    ),
    HeldRival(
        "snowball",
        "earlier wrong mentions held, total length not",
        "earlier wrong mentions with the length not held",
        lambda material: fit_history(material.events, snowball=True, length=False),
    ),
    HeldRival(
        "stopping",
        "end of the response fitted jointly",
        "when responses end",
        lambda material: fit_stopping(material.events),
    ),
    HeldRival(
        "slopes",
        "mean of varying slopes",
        "slopes that vary between responses",
        lambda material: fit_slopes(material.events),
    ),
    HeldRival(
        "naming",
        "choice among the categories left",
        "which categories are left",
        lambda material: fit_naming(material.events, material.named),
    ),
    HeldRival(JUDGE, "judge's false alarms removed", "errors of the judge by position", _judge),
)


def fit_rival(rival: HeldRival, material: Material) -> HeldEffect:
    """Return the rival's fit, or the reason why there is none."""
    try:
        return rival.fit(material)
    except NotEstimableError as error:
        return HeldEffect(reason=str(error))
