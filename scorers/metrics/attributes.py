"""Attribute and relation hallucination: what a description says of objects that are there, against how they look."""

from collections.abc import Mapping, Sequence

import numpy as np

from eidolon.scorers.core.metric import (
    Depiction,
    FloatArray,
    JudgedSample,
    LeaderboardColumn,
    Quantity,
    Share,
    ratio,
)
from eidolon.scorers.text.claims import KINDS, Claim, find_claims

LEFT_EDGE, RIGHT_EDGE = 0.38, 0.62
"""Where the middle of a picture begins and ends, as shares of its width: the limits of the texts of Scenes."""


class Attributes:
    """The shares of wrong claims about colour, count, side and relation, and of responses with one.

    Claims are those of `text.claims`, about objects that are in the picture and that the judge found grounded. A claim
    is left out if the truth does not hold what it needs: boxes, or a colour.
    """

    family: str = "attributes"
    quantities: tuple[Quantity, ...] = (
        Quantity("error", False, (0, 1), "wrong claims / claims", "no claim could be checked"),
        *(
            Quantity(
                f"{kind}_error", False, (0, 1), f"the same of {kind}", f"no claim of {kind} could be checked"
            )
            for kind in KINDS
        ),
        Quantity(
            "responses", False, (0, 1), "responses with a wrong claim / responses", "there are no responses"
        ),
        Quantity(
            "claims", None, (0, np.inf), "claims that were checked / responses", "there are no responses"
        ),
    )
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("error", "attribute errors ↓"),
        LeaderboardColumn("relation_error", "relation errors ↓"),
    )
    columns: tuple[str, ...] = (
        "responses",
        "responses_wrong",
        *(f"{kind}_{what}" for kind in KINDS for what in ("claims", "wrong")),
    )
    row_by_row: bool = True
    needs_depictions: bool = True

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 10)."""
        return np.array([self._row(s) for s in samples], dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 10) to the quantities, shape (...)."""
        values = {name: ratio(share.events, share.trials) for name, share in self.shares(totals).items()}
        values["claims"] = ratio(totals[..., 2::2].sum(axis=-1), totals[..., 0])
        return {quantity.name: values[quantity.name] for quantity in self.quantities}

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 10) to the events and trials of the shares, each (...)."""
        claims, wrong = totals[..., 2::2], totals[..., 3::2]
        return {
            "error": Share(wrong.sum(axis=-1), claims.sum(axis=-1)),
            **{f"{kind}_error": Share(wrong[..., i], claims[..., i]) for i, kind in enumerate(KINDS)},
            "responses": Share(totals[..., 1], totals[..., 0]),
        }

    def _row(self, sample: JudgedSample) -> list[float]:
        checked = [(claim.kind, true) for claim, true in checked_claims(sample)]
        counts: list[float] = []
        for kind in KINDS:
            truths = [true for found, true in checked if found == kind]
            counts += (len(truths), truths.count(False))
        return [1, any(not true for _, true in checked), *counts]


def checked_claims(sample: JudgedSample) -> list[tuple[Claim, bool]]:
    """Return the claims of a response that can be checked, each with whether it is true."""
    grounded = [m for m in sample.judgement.mentions if m.verdict == "grounded"]
    found = []
    for claim in find_claims(sample.response.response or "", grounded):
        true = holds(claim, sample.depicted)
        if true is not None:
            found.append((claim, true))
    return found


def holds(claim: Claim, depicted: Mapping[str, Depiction]) -> bool | None:
    """Tell whether a claim is true of the picture; None if the truth does not say.

    An object is on a side if one of its instances is, or their mean. Relations compare mean centres.
    """
    shown = depicted.get(claim.mention.category)
    if shown is None:
        return None
    if claim.kind == "colour":
        return None if shown.colour is None else claim.value == shown.colour
    if not shown.boxes:
        return None
    if claim.kind == "count":
        return int(claim.value) == len(shown.boxes)
    if claim.kind == "side":
        return any(
            claim.value == _side(x) for x in [shown.centre[0], *((b[0] + b[2]) / 2 for b in shown.boxes)]
        )
    other = depicted.get(claim.other.category) if claim.other is not None else None
    if other is None or not other.boxes or other is shown:
        return None
    (x, y), (u, v) = shown.centre, other.centre
    return {"left": x < u, "right": x > u, "above": y < v, "below": y > v}[claim.value]


def _side(x: float) -> str:
    return "left" if x < LEFT_EDGE else "right" if x > RIGHT_EDGE else "middle"
