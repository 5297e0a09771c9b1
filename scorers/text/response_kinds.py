"""Counts of responses that are no ordinary description: empty, refusals, other languages, cut off.

They are reported beside the scores and are never part of them. A model that refuses often has a low CHAIR, and the
counts show why.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from eidolon.scorers.core.types import Edit, Response
from eidolon.scorers.text.judgeability import classify


def count_kinds(responses: Iterable[Response]) -> dict[str, int]:
    """Return how many responses are empty, refusals, not English, and cut off at the token limit.

    A request that failed has no response and is not counted.
    """
    counts = {"empty": 0, "refusals": 0, "non_english": 0, "truncated": 0}
    column = {"empty": "empty", "refusal": "refusals", "non_english": "non_english"}
    for response in responses:
        if response.response is None:
            continue
        kind = classify(response.response)
        if kind != "ok":
            counts[column[kind]] += 1
        counts["truncated"] += response.finish_reason == "length"
    return counts


def count_edits(edits: Iterable[Sequence[Edit]]) -> dict[str, int]:
    """Return, by rule in alphabetical order, how many responses it changed before they were judged."""
    counts = Counter(rule for changed in edits for rule in {edit.rule for edit in changed})
    return dict(sorted(counts.items()))
