"""A proposed vocabulary: what responses name and no category covers, in three steps.

1. known or unknown   a noun that no category covers is unknown; one near a known category is marked with it, and each
                      with how likely it names a known one.
                      Words that are seldom nouns ("can", "feature") are left out
2. cluster            unknown nouns, at the distance that separates the known categories best
3. link               each cluster to the nearest supercategory, if one is near enough
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Record
from eidolon.scorers.discovery.clusters import ROUNDING, IntArray, learn_grouping
from eidolon.scorers.discovery.contexts import NounVectors
from eidolon.scorers.discovery.open_set import Evidence, known_probabilities
from eidolon.scorers.discovery.supercategories import SUPERCATEGORY
from eidolon.scorers.text.english_data import load_lemmas
from eidolon.scorers.text.lexicon import Lexicon, LexiconCategory

LEAST_CATEGORIES: Final = 3
"""Known categories with a name in the responses; with fewer there is nothing to learn a distance from."""

LEAST_SHARE: Final = 0.1
"""Share of a word's occurrences that are the head of a noun phrase. Below it the word is no proposed name: a judge
would find it as a verb, or before another noun."""


class FoundName(Record):
    """A noun of a proposed category."""

    name: str
    mentions: int
    example: str
    near: str | None
    """The known category within the threshold. The noun may be a further name of it, or only be named with it."""
    known: float | None
    """How likely it names a known category, 0 to 1, by the open-set classifier. Null if WordNet does not have the noun,
    or if there are too few nouns to learn from."""


class FoundCategory(Record):
    """A proposed category. It is named by its most frequent noun."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    names: tuple[FoundName, ...]
    supercategory: str | None
    """The nearest known one, null if none is near enough."""
    separation: float | None
    """How sure: distance to the nearest other group, divided by the threshold of the clustering. Near 1 or below is
    unsure. Null if there is no distance to divide by."""


class Proposal(Record):
    """What was found, and how well the same steps group the known names."""

    categories: tuple[FoundCategory, ...]
    threshold: float
    known_f1: float
    """Pairwise F1 of the known names at the threshold, which is chosen for it."""

    def lexicon(self, name: str) -> Lexicon:
        """Return the proposed categories, without the known ones, as a vocabulary file."""
        mine = tuple(
            LexiconCategory(name=one.name, terms=tuple(found.name for found in one.names))
            for one in self.categories
        )
        return Lexicon(name=name, source="eidolon discover", categories=mine)


def known_categories(nouns: Sequence[str], lexicon: Lexicon) -> dict[str, str]:
    """Return noun → category for the nouns that the lexicon covers.

    A noun that is the last word of terms of one category alone counts for it: "hydrant".
    """
    terms = lexicon.careful_terms()
    heads: dict[str, set[str]] = {}
    for term, name in terms.items():
        if " " in term:
            heads.setdefault(term.split()[-1], set()).add(name)
    alone = {head: next(iter(names)) for head, names in heads.items() if len(names) == 1}
    return {noun: found for noun in nouns if (found := terms.get(noun) or alone.get(noun))}


def propose(found: NounVectors, lexicon: Lexicon, evidence: Evidence = "cosine") -> Proposal:
    """Return the proposal for the nouns of responses. `evidence` is what decides known or unknown.

    Raises:
        UserError: the responses name fewer than three known categories, none by two nouns, or no other word.
    """
    covered = known_categories(found.nouns, lexicon)
    known = [i for i, noun in enumerate(found.nouns) if noun in covered]
    names = [covered[found.nouns[i]] for i in known]
    categories = sorted(set(names))
    if len(categories) < LEAST_CATEGORIES or len(categories) == len(names) or not found.vectors.any():
        raise UserError(
            f"the responses name {len(categories)} known categories by {len(names)} nouns: too little to learn what a "
            "category is; give more responses, or a vocabulary that fits them"
        )
    grouping = learn_grouping(found.vectors[known], [categories.index(name) for name in names])
    points = found.vectors @ grouping.projection
    of_known = [[i for i, n in zip(known, names, strict=True) if n == name] for name in categories]
    unknown = [
        i
        for i, noun in enumerate(found.nouns)
        if noun not in covered and found.counts[i] >= LEAST_SHARE * found.words[i]
    ]
    groups = grouping.group(found.vectors[unknown])
    clusters = [[unknown[j] for j in np.flatnonzero(groups == g)] for g in range(groups.max(initial=-1) + 1)]
    near = {
        i: categories[int(at)]
        for i, at, distance in zip(unknown, *_nearest(points[unknown], points, of_known), strict=True)
        if distance <= grouping.threshold + ROUNDING
    }
    proxies = [i for i in unknown if in_wordnet(found.nouns[i])]
    chances = dict(zip(proxies, known_probabilities(found, known, proxies, evidence), strict=True))
    separations = _separations(points, [*clusters, *of_known], len(clusters), grouping.threshold)
    centres = np.array([points[members].mean(axis=0) for members in clusters]).reshape(-1, points.shape[1])
    above = _supercategories(centres, points, dict(zip(categories, of_known, strict=True)))
    made = []
    for members, kind, separation in zip(clusters, above, separations, strict=True):
        found_names = tuple(
            FoundName(
                name=found.nouns[i],
                mentions=found.counts[i],
                example=found.examples[i],
                near=near.get(i),
                known=chances.get(i),
            )
            for i in members
        )
        made.append(
            FoundCategory(
                name=found_names[0].name, names=found_names, supercategory=kind, separation=separation
            )
        )
    made.sort(key=lambda one: (-sum(n.mentions for n in one.names), one.name))
    return Proposal(categories=tuple(made), threshold=grouping.threshold, known_f1=grouping.f1)


def in_wordnet(noun: str) -> bool:
    """Tell whether WordNet has the word as a noun."""
    return noun in _wordnet_nouns()


@cache
def _wordnet_nouns() -> frozenset[str]:
    return load_lemmas().lemmas["n"]


def _separations(
    points: FloatArray, groups: Sequence[Sequence[int]], asked: int, threshold: float
) -> list[float | None]:
    """Return for each of the first `asked` groups its mean distance to the nearest other group, in thresholds."""
    from scipy.spatial.distance import cdist

    if threshold <= ROUNDING:
        return [None] * asked
    share = np.zeros((len(groups), len(points)))
    for row, members in enumerate(groups):
        share[row, list(members)] = 1 / len(members)
    means = share @ cdist(points, points) @ share.T
    np.fill_diagonal(means, np.inf)
    return [float(least) / threshold for least in means[:asked].min(axis=1)]


def _supercategories(
    centres: FloatArray, points: FloatArray, of_known: Mapping[str, Sequence[int]]
) -> list[str | None]:
    """Return the nearest supercategory of each centre, None if it is too far or if these are not known."""
    named = [name for name in of_known if name in SUPERCATEGORY]
    above = [SUPERCATEGORY[name] for name in named]
    kinds = sorted(set(above))
    if len(kinds) < 2:
        return [None] * len(centres)
    middle = np.array([points[list(of_known[name])].mean(axis=0) for name in named])
    grouping = learn_grouping(middle, [kinds.index(kind) for kind in above])
    members = [[i for i, one in enumerate(above) if one == kind] for kind in kinds]
    at, distance = _nearest(centres @ grouping.projection, middle @ grouping.projection, members)
    return [
        kinds[int(i)] if far <= grouping.threshold + ROUNDING else None
        for i, far in zip(at, distance, strict=True)
    ]


def _nearest(
    points: FloatArray, others: FloatArray, groups: Sequence[Sequence[int]]
) -> tuple[IntArray, FloatArray]:
    """Return for each point the group of `others` with the smallest mean distance, and that distance."""
    from scipy.spatial.distance import cdist

    apart = cdist(points, others)
    means = np.stack([apart[:, list(members)].mean(axis=1) for members in groups], axis=1)
    return means.argmin(axis=1), means.min(axis=1)
