"""Verdicts of every kind of judge, and the matching of free nouns with true objects.

A closed vocabulary needs no matching: its categories are those of the ground truth. The nouns of an open vocabulary
are compared with the true objects in stages: by name, by singular, by category of the lexicon. The rest is paired by
sentence embeddings, so that the sum of similarities is largest (the assignment problem, Kuhn 1955).
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Evidence, JoiningMatcher, Judge, OpenJudge, VerdictSource
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Judgement, Mention
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.embeddings import Embedder
from eidolon.scorers.text.lexicon import Lexicon, label
from eidolon.scorers.text.singular_nouns import singular

SIMILARITY = 0.7
"""Cosine from which two nouns count as one object, if the user gives no threshold. The value is our choice."""


DIGITS = 6
"""Decimal places of a similarity."""


def decide(judge: Judge, judgements: Iterable[Judgement], evidence: Sequence[Evidence]) -> list[Judgement]:
    """Return the judgements with verdicts: from the judge's matcher, or for a closed vocabulary from the true
    objects."""
    if isinstance(judge, OpenJudge):
        return judge.matcher.match(list(judgements), evidence)
    return [
        with_verdicts(j, known.objects, known.unknown) for j, known in zip(judgements, evidence, strict=True)
    ]


def join(judge: Judge, objects: Collection[str], named: Collection[str]) -> frozenset[str]:
    """Return the true objects of an image, with the objects that its captions name.

    With an open vocabulary, a noun is left out if it is another name of a true object.
    """
    if isinstance(judge, OpenJudge) and isinstance(judge.matcher, JoiningMatcher):
        return judge.matcher.join(objects, named)
    return frozenset(objects) | frozenset(named)


class NameMatcher:
    """Matches nouns with true objects by name, and the rest by embeddings, if there is an embedder.

    A category of the lexicon covers all of its terms, so that several nouns may mean one object ("man" and "woman":
    person). Embeddings pair one noun with one object. If the similarity is at least `threshold`, the mention's
    category becomes the object's name. Otherwise the mention is hallucinated, and keeps the pair with its similarity.
    """

    verdicts_from: VerdictSource = "objects"

    def __init__(
        self, lexicon: Lexicon, embedder: Embedder | None = None, threshold: float = SIMILARITY
    ) -> None:
        self._lexicon, self._categories = lexicon, lexicon.careful_terms()
        self.embedder, self._threshold = embedder, threshold

    def signature(self) -> str:
        """Return the lexicon of the synonyms, and the embeddings with their threshold."""
        stages = f"names/2+{label(self._lexicon)}"
        if self.embedder is None:
            return stages
        return f"{stages}+{self.embedder.signature()}>={self._threshold:g}"

    @property
    def gives_similarity(self) -> bool:
        """Whether nouns are also compared by embeddings."""
        return self.embedder is not None

    def canonical(self, name: str) -> str:
        """Return the canonical form of a name: its category in the lexicon, or else its singular."""
        name = plain(name)
        one = singular_name(name)
        return self._categories.get(name) or self._categories.get(one) or one

    def join(self, objects: Collection[str], named: Collection[str]) -> frozenset[str]:
        """Return the objects, with the canonical form of each name that means none of them."""
        there = {self.canonical(name) for name in objects}
        return frozenset(objects) | frozenset({self.canonical(name) for name in named} - there)

    def match(self, judgements: Sequence[Judgement], evidence: Sequence[Evidence]) -> list[Judgement]:
        """Return the judgements with verdicts. The names of all of them are embedded together."""
        if self.embedder is not None:
            rest: set[str] = set()
            for judgement, known in zip(judgements, evidence, strict=True):
                nouns = _nouns(judgement)
                pairs = self._by_name(nouns, known.objects)
                taken = {name for name, _ in pairs.values()}
                if len(pairs) < len(nouns) and len(taken) < len(known.objects):
                    rest |= (nouns - set(pairs)) | (known.objects - taken)
            if rest:
                self.embedder.embed(sorted(rest))
        return [self._match(j, known.objects) for j, known in zip(judgements, evidence, strict=True)]

    def pair(self, nouns: Collection[str], objects: Collection[str]) -> dict[str, tuple[str, float]]:
        """Return noun → (object, similarity) for the nouns that are paired. The order of the arguments does not
        matter."""
        pairs = self._by_name(nouns, objects)
        if self.embedder is not None:
            taken = {name for name, _ in pairs.values()}
            pairs |= most_alike(sorted(set(nouns) - set(pairs)), sorted(set(objects) - taken), self.embedder)
        return pairs

    def _by_name(self, nouns: Collection[str], objects: Collection[str]) -> dict[str, tuple[str, float]]:
        pairs: dict[str, tuple[str, float]] = {}
        for key in (plain, singular_name, self.canonical):
            # Of several objects with the same key, the first in alphabetical order is used.
            known = {key(name): name for name in sorted(objects, reverse=True)}
            pairs |= {
                noun: (known[key(noun)], 1.0) for noun in nouns if noun not in pairs and key(noun) in known
            }
        return pairs

    def _match(self, judgement: Judgement, objects: frozenset[str]) -> Judgement:
        pairs = self.pair(_nouns(judgement), objects)
        mentions = tuple(self._decide(mention, pairs) for mention in judgement.mentions)
        return judgement.model_copy(update={"mentions": mentions})

    def _decide(self, mention: Mention, pairs: dict[str, tuple[str, float]]) -> Mention:
        if mention.verdict == "ignored":
            return mention
        match, similarity = pairs.get(mention.category, (None, 0.0))
        if match is None or similarity < self._threshold:
            found: dict[str, object] = {"verdict": "hallucinated"}
        else:
            found = {"verdict": "grounded", "category": match}
        return mention.model_copy(update={**found, "match": match, "similarity": similarity})


def _nouns(judgement: Judgement) -> set[str]:
    return {mention.category for mention in judgement.mentions if mention.verdict != "ignored"}


def most_alike(
    nouns: Sequence[str], objects: Sequence[str], embedder: Embedder
) -> dict[str, tuple[str, float]]:
    """Return the one-to-one pairs of nouns and objects with the largest sum of similarities.

    All of the shorter list are paired. The similarity is the cosine, at least 0.
    """
    if not nouns or not objects:
        return {}
    from scipy.optimize import linear_sum_assignment

    similarities = cosines(embedder.embed(nouns), embedder.embed(objects))
    rows, columns = linear_sum_assignment(similarities, maximize=True)
    return {nouns[i]: (objects[j], float(similarities[i, j])) for i, j in zip(rows, columns, strict=True)}


def cosines(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the cosines of all pairs of rows, shape (rows of one, rows of other), clipped to [0, 1]."""
    one, other = (np.asarray(rows, dtype=float) for rows in (one, other))
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)[None, :]
    products = one @ other.T
    found = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    # Rounded, so that a word has similarity 1 with itself and the last bits depend little on the batch.
    return np.asarray(np.clip(np.round(found, DIGITS), 0, 1), dtype=float)


def plain(name: str) -> str:
    """Return a name in lower case, its words separated by single spaces."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def singular_name(name: str) -> str:
    """Return the plain name with its last word in the singular: `Fire-Hydrants` → `fire hydrant`."""
    first, space, last = plain(name).rpartition(" ")
    return f"{first}{space}{singular(last)}"


def read_threshold(value: str | float, judge: str) -> float:
    """Return a judge's option `threshold` as a number.

    Raises:
        UserError: it is not a number from 0 to 1.
    """
    try:
        threshold = float(value)
    except ValueError:
        threshold = -1
    if not 0 <= threshold <= 1:
        raise UserError(f"judge {judge}: threshold {value!r} must be a number from 0 to 1")
    return threshold
