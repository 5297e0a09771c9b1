"""Which votes of an ensemble need not be asked because they cannot change the verdict at its threshold.

`needed` leaves out votes after which the verdict is the same whatever they are. It is exact. `screened` also leaves out
categories that no reading of the lexicon finds in the text, not even denied: they count as absent. It may differ from
asking, so one response in `AUDITED_ONE_IN` is asked about every category, and the share of cells that differ is kept.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eidolon.scorers.core.judge import RereadingJudge
from eidolon.scorers.core.types import Response

VOTES = ("all", "needed", "screened")
AUDITED_ONE_IN = 50
"""By a hash of the sample, so that a resumed run audits the same responses."""


def is_settled(votes: Iterable[int], voters: int, threshold: int) -> bool:
    """Tell whether the votes that are missing cannot change the verdict; `votes` are those given, 1 for a yes."""
    given = list(votes)
    fewest = sum(given)
    most = fewest + voters - len(given)
    return verdict_of(fewest, voters, threshold) == verdict_of(most, voters, threshold)


def verdict_of(yes: int, voters: int, threshold: int) -> str:
    """Return present, ignored or absent, by THRONE's rule."""
    if yes >= threshold:
        return "present"
    return "ignored" if yes > voters - threshold else "absent"


@dataclass(slots=True)
class Audit:
    """The cells that the screening would have left out, in the responses that were asked about all."""

    responses: int = 0
    cells: int = 0
    differing: int = 0

    @property
    def share(self) -> float | None:
        """The share of all cells of these responses whose verdict the screening changes; None without any."""
        return self.differing / self.cells if self.cells else None

    def __str__(self) -> str:
        if self.share is None:
            return "votes=screened: no response was asked in full, so the share of differing cells is unknown"
        return (
            f"votes=screened: {self.differing} of {self.cells} cells differ ({self.share:.3%}) in the "
            f"{self.responses} responses that were asked in full"
        )


def is_audited(response: Response) -> bool:
    """Tell whether a response is asked about every category."""
    key = f"{response.sample_id}:{response.generation}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:4], "big") % AUDITED_ONE_IN == 0


def worth_asking(
    reader: RereadingJudge, responses: Sequence[Response], vocabulary: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return for each response the categories that a reading finds in it; all, if a reading cannot read it."""
    found: list[set[str]] = [set() for _ in responses]
    for namer in reader.namers():
        for names, judgement in zip(found, namer.judge(responses), strict=True):
            unread = judgement.unscored is not None
            names.update(vocabulary if unread else (m.category for m in judgement.mentions))
    return [tuple(category for category in vocabulary if category in names) for names in found]
