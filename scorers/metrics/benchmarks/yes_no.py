"""Yes and no as the benchmarks' own programs read them, and as whole words."""

from collections.abc import Sequence

from eidolon.scorers.metrics.benchmarks.question import COMPAT
from eidolon.scorers.text.yes_no import lenient


def read_yes_no(answer: str, mode: str, no_words: Sequence[str] = ("no",)) -> str | None:
    """Return `yes`, `no` or None.

    In mode `compat`, an answer is a yes if the letters `yes` stand anywhere in it, also in "eyes"; else a no if the
    letters of one of `no_words` do, also in "know" (RePOPE and DASH-B, the released programs). In mode `fixed` one of
    the words yes and no must be there, and not both.
    """
    if mode == COMPAT:
        lower = answer.lower()
        if "yes" in lower:
            return "yes"
        return "no" if any(word in lower for word in no_words) else None
    read = lenient(answer)
    return None if read is None else "yes" if read else "no"
