"""Which votes of an ensemble need not be asked because they cannot change the verdict at its threshold.

`needed` leaves out votes after which the verdict is the same whatever they are. It is exact. `screened` also leaves out
categories that no reading of the lexicon finds in the text, not even denied: they count as absent. A screen of some
votes is asked about these categories all the same, and one yes makes a category worth the other votes. Judges say yes
to much that is not there about few responses, so the screen may begin with some categories as probes. `screened` may
differ from asking, so one response in `AUDITED_ONE_IN` is asked about every category, and the share of cells that
differ is kept.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Response

VOTES = ("all", "needed", "screened")
AUDITED_ONE_IN = 50
"""By a hash of the sample, so that a resumed run audits the same responses."""


def parse_screen(text: str, votes: str, ballots: Sequence[str]) -> tuple[str, ...]:
    """Return the votes of a screen in the order of `ballots`, the names of all votes as `judge/format`.

    Raises:
        UserError: one is unknown, or `votes` is not `screened`.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names and votes != "screened":
        raise UserError(f"-J screen={text}: is for votes=screened, and -J votes={votes}")
    for name in names:
        if name not in ballots:
            raise UserError(f"-J screen={text}: unknown vote {name!r}{did_you_mean(name, ballots)}")
    return tuple(name for name in ballots if name in names)


def parse_probes(given: str | int | None, screen: Sequence[str]) -> int | None:
    """Return the number of probes, None for all categories.

    Raises:
        UserError: it is no whole number from 1, or there is no screen.
    """
    if given is None:
        return None
    if not screen:
        raise UserError(f"-J probes={given}: needs the votes that are asked, -J screen=JUDGE/FORMAT")
    if not str(given).isascii() or not str(given).isdigit() or int(given) < 1:
        raise UserError(f"-J probes={given}: must be a whole number from 1")
    return int(given)


def spread(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return so many of the names, evenly spread; all if there are fewer."""
    step = max(1, len(names) // count)
    return tuple(names[::step][:count])


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
    readings: Sequence[Judge], responses: Sequence[Response], vocabulary: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return for each response the categories that a reading finds in it; all, if a reading cannot read it."""
    found: list[set[str]] = [set() for _ in responses]
    for namer in readings:
        for names, judgement in zip(found, namer.judge(responses), strict=True):
            unread = judgement.unscored is not None
            names.update(vocabulary if unread else (m.category for m in judgement.mentions))
    return [tuple(category for category in vocabulary if category in names) for names in found]
