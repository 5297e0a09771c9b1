"""What of an open vocabulary is true: free nouns matched with true objects; verdicts for every kind of judge.

A closed vocabulary needs no matching: its categories are those of the truth. The nouns of an open one are
compared with the true objects in stages: the same name, the same singular, the same category of the lexicon,
and at last, with sentence embeddings, the pairs of the rest that are most alike in sum (the assignment
problem, Kuhn 1955).
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
from eidolon.scorers.text.tagged import singular

SIMILARITY = 0.7
"""Cosine from which two nouns are taken for one object unless the user says otherwise: our choice."""


def decide(judge: Judge, judgements: Iterable[Judgement], evidence: Sequence[Evidence]) -> list[Judgement]:
    """Return the judgements with verdicts, by the judge's matcher, for a closed vocabulary by the objects."""
    if isinstance(judge, OpenJudge):
        return judge.matcher.match(list(judgements), evidence)
    return [with_verdicts(j, known.objects) for j, known in zip(judgements, evidence, strict=True)]


def join(judge: Judge, objects: Collection[str], named: Collection[str]) -> frozenset[str]:
    """Return the true objects of an image with those that its captions name.

    With an open vocabulary a noun joins only where it is not another name of an object that is there.
    """
    if isinstance(judge, OpenJudge) and isinstance(judge.matcher, JoiningMatcher):
        return judge.matcher.join(objects, named)
    return frozenset(objects) | frozenset(named)


class NameMatcher:
    """Matches nouns with true objects by name, and what is left by embeddings where there is an embedder.

    A lexicon's category stands for all of its terms, so that several nouns may mean one object ("man",
    "woman": person). What embeddings pair is one to one. A noun that is paired takes the object's name as its
    category from `threshold` on; below it is hallucinated, and the pair is kept with its similarity.
    """

    verdicts_from: VerdictSource = "objects"

    def __init__(
        self, lexicon: Lexicon, embedder: Embedder | None = None, threshold: float = SIMILARITY
    ) -> None:
        self._lexicon, self._categories = lexicon, lexicon.careful_terms()
        self.embedder, self._threshold = embedder, threshold

    def signature(self) -> str:
        """Return the synonyms' lexicon, and the embeddings with their threshold."""
        stages = f"names+{label(self._lexicon)}"
        if self.embedder is None:
            return stages
        return f"{stages}+{self.embedder.signature()}>={self._threshold:g}"

    @property
    def gives_similarity(self) -> bool:
        """Whether nouns are also compared by embeddings."""
        return self.embedder is not None

    def canonical(self, name: str) -> str:
        """Return what a name stands for: its category in the lexicon, or its own singular."""
        name = plain(name)
        one = singular_name(name)
        return self._categories.get(name) or self._categories.get(one) or one

    def join(self, objects: Collection[str], named: Collection[str]) -> frozenset[str]:
        """Return the objects, with those of the named that none of them stands for, canonical."""
        there = {self.canonical(name) for name in objects}
        return frozenset(objects) | frozenset({self.canonical(name) for name in named} - there)

    def match(self, judgements: Sequence[Judgement], evidence: Sequence[Evidence]) -> list[Judgement]:
        """Return the judgements with verdicts."""
        return [self._match(j, known.objects) for j, known in zip(judgements, evidence, strict=True)]

    def pair(self, nouns: Collection[str], objects: Collection[str]) -> dict[str, tuple[str, float]]:
        """Return noun → (object, similarity) for what is paired; no order changes it."""
        pairs: dict[str, tuple[str, float]] = {}
        for key in (plain, singular_name, self.canonical):
            # Of objects with one key the first by the alphabet stands for all.
            known = {key(name): name for name in sorted(objects, reverse=True)}
            pairs |= {
                noun: (known[key(noun)], 1.0) for noun in nouns if noun not in pairs and key(noun) in known
            }
        if self.embedder is not None:
            taken = {name for name, _ in pairs.values()}
            pairs |= most_alike(sorted(set(nouns) - set(pairs)), sorted(set(objects) - taken), self.embedder)
        return pairs

    def _match(self, judgement: Judgement, objects: frozenset[str]) -> Judgement:
        nouns = {mention.category for mention in judgement.mentions if mention.verdict != "ignored"}
        pairs = self.pair(nouns, objects)
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


def most_alike(
    nouns: Sequence[str], objects: Sequence[str], embedder: Embedder
) -> dict[str, tuple[str, float]]:
    """Return the one-to-one pairs of nouns and objects with the largest sum of similarities.

    All of the shorter list are paired. A similarity is the cosine, at least 0.
    """
    if not nouns or not objects:
        return {}
    from scipy.optimize import linear_sum_assignment

    similarities = cosines(embedder.embed(nouns), embedder.embed(objects))
    rows, columns = linear_sum_assignment(similarities, maximize=True)
    return {nouns[i]: (objects[j], float(similarities[i, j])) for i, j in zip(rows, columns, strict=True)}


def cosines(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the cosines of all pairs of rows, shape (rows of one, rows of other), cut to 0…1."""
    one, other = (np.asarray(rows, dtype=float) for rows in (one, other))
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)[None, :]
    products = one @ other.T
    found = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    # Rounded, so that the same word is as like itself as can be.
    return np.asarray(np.clip(np.round(found, 6), 0, 1), dtype=float)


def plain(name: str) -> str:
    """Return a name in lower case, its words separated by single spaces."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def singular_name(name: str) -> str:
    """Return the plain name with its last word in the singular: `Fire-Hydrants` → `fire hydrant`."""
    first, space, last = plain(name).rpartition(" ")
    return f"{first}{space}{singular(last)}"


def read_threshold(value: str | float, judge: str) -> float:
    """Return a judge's option `threshold`; what is no number from 0 to 1 is a UserError."""
    try:
        threshold = float(value)
    except ValueError:
        threshold = -1
    if not 0 <= threshold <= 1:
        raise UserError(f"judge {judge}: threshold {value!r} must be a number from 0 to 1")
    return threshold
