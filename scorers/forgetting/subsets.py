"""The sets of mentions whose rate is reported: all mentions, and what is left of them under each control."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eidolon.scorers.forgetting.events import BoolArray, Events

EARLY = (0, 20)
LATE = (60, math.inf)
"""`EARLY` and `LATE` are numbers of words before a mention: from the first up to the second."""
UNEXHAUSTED = 3
"""Number of true objects still unnamed at which a new object can easily be a true one."""
SURVIVAL = 80
"""Words that a response must have to be in the fixed set."""


def _every_response(events: Events) -> BoolArray:
    return np.ones(len(events.responses), dtype=bool)


@dataclass(frozen=True, slots=True)
class Subset:
    """A set of mentions, in a set of responses."""

    name: str
    label: str
    mentions: Callable[[Events], BoolArray]
    responses: Callable[[Events], BoolArray] = _every_response


FIRST = Subset("first", "first mentions", lambda events: events.mentions.first)
ALL = Subset("all", "all mentions", lambda events: np.ones(len(events.mentions), dtype=bool))
REPEATED = Subset("repeated", "re-mentions", lambda events: ~events.mentions.first)
UNEXHAUSTED_FIRST = Subset(
    "unexhausted",
    f"first mentions, {UNEXHAUSTED} or more true objects still unnamed",
    lambda events: events.mentions.first & (events.mentions.unnamed >= UNEXHAUSTED),
)
SURVIVORS_FIRST = Subset(
    "survivors",
    f"first mentions, responses of {SURVIVAL} words or more",
    lambda events: events.mentions.first,
    lambda events: events.responses.words >= SURVIVAL,
)
SUBSETS = (FIRST, ALL, REPEATED, UNEXHAUSTED_FIRST, SURVIVORS_FIRST)
