"""The order in which a response names true objects: small ones first, or large ones."""

from itertools import combinations

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.verdict import counted_mentions


def ordered_pairs(sample: JudgedSample) -> tuple[int, int]:
    """Return in how many pairs of named true objects the smaller, and the larger, is named first.

    Objects of unknown size, and pairs of equal size, are left out.
    """
    mentions = sorted(counted_mentions(sample), key=lambda mention: (mention.start, mention.end))
    order = dict.fromkeys(mention.category for mention in mentions)
    sizes = [sample.areas[name] for name in order if name in sample.objects and name in sample.areas]
    smaller = sum(first < later for first, later in combinations(sizes, 2))
    larger = sum(first > later for first, later in combinations(sizes, 2))
    return smaller, larger
