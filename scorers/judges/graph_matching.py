"""CAPTURE: how far two scene graphs agree (Dong et al., *Benchmarking and Improving Detail Image Caption*, 2024)."""

from collections.abc import Callable, Iterable, Sequence

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.judges.caption_graphs import Graph
from eidolon.scorers.judges.embeddings import Embedder
from eidolon.scorers.judges.matching import cosines
from eidolon.scorers.judges.synonyms import Synonyms

KINDS = ("object", "attribute", "relation")
WEIGHTS = {"object": 5, "attribute": 5, "relation": 2}
"""Weights of the three F1 in the score (the released program's 0.5, 0.5 and 0.2)."""
EPSILON = 1e-6
"""What the released program adds to each denominator."""
NAN = float("nan")


class GraphMatcher:
    """Compares the graph of a caption with that of a reference, as the released program does.

    The elements of each kind are paired one to one: first those that are equal, then those with a common synonym, each
    with the first that is left. What remains is compared by vectors: an element counts with its largest cosine. With
    `compat`, phrases also pair where one holds the letters of the other ("car", "carpet"), and 1e-6 is added to each
    denominator. Otherwise it must hold its words, and a kind that neither graph has is undefined and has no weight.
    """

    def __init__(self, synonyms: Synonyms, embedder: Embedder | None = None, *, compat: bool = True) -> None:
        self._synonyms, self._embedder, self._compat = synonyms, embedder, compat

    def signature(self) -> str:
        """Return the sources of synonyms and vectors."""
        soft = "none" if self._embedder is None else self._embedder.signature()
        return f"synonyms={self._synonyms.signature()},soft={soft}"

    def prepare(self, graphs: Iterable[Graph]) -> None:
        """Compute the vectors of all phrases together."""
        if self._embedder is not None:
            phrases = {phrase for graph in graphs for kind in KINDS for phrase in _phrases(graph, kind)}
            if phrases:
                self._embedder.embed(sorted(phrases))

    def compare(self, said: Graph, reference: Graph) -> dict[str, float]:
        """Return `capture` and, for each kind, `KIND_precision`, `KIND_recall` and `KIND_f1`; NaN where undefined."""
        found: dict[str, float] = {}
        for kind in KINDS:
            precision, recall = self._shares(said, reference, kind)
            found[f"{kind}_precision"], found[f"{kind}_recall"] = precision, recall
            found[f"{kind}_f1"] = _f1(precision, recall, EPSILON if self._compat else 0)
        weights = {kind: WEIGHTS[kind] for kind in KINDS if found[f"{kind}_f1"] == found[f"{kind}_f1"]}
        total = sum(weights.values())
        score = sum(weight * found[f"{kind}_f1"] for kind, weight in weights.items())
        return {"capture": score / total if total else NAN, **found}

    def _shares(self, said: Graph, reference: Graph, kind: str) -> tuple[float, float]:
        """Return precision and recall of one kind."""
        ours, theirs = _elements(said, kind), _elements(reference, kind)
        pairs = self._pairs(ours, theirs)
        soft_ours, soft_theirs = self._soft(
            [" ".join(one) for i, one in enumerate(ours) if i not in pairs],
            [" ".join(one) for i, one in enumerate(theirs) if i not in pairs.values()],
        )
        if self._compat:
            return (
                (len(pairs) + soft_ours) / (len(ours) + EPSILON),
                (len(pairs) + soft_theirs) / (len(theirs) + EPSILON),
            )
        if not ours and not theirs:
            return NAN, NAN
        return (
            (len(pairs) + soft_ours) / len(ours) if ours else 0.0,
            (len(pairs) + soft_theirs) / len(theirs) if theirs else 0.0,
        )

    def _pairs(self, ours: Sequence[tuple[str, ...]], theirs: Sequence[tuple[str, ...]]) -> dict[int, int]:
        """Return the pairs by index: equal elements, then synonyms, each with the first that is left."""
        pairs: dict[int, int] = {}
        for same in (tuple.__eq__, self._synonymous):
            for i, one in enumerate(ours):
                if i not in pairs:
                    _pair(pairs, i, (j for j, other in enumerate(theirs) if same(one, other)))
        return pairs

    def _synonymous(self, one: tuple[str, ...], other: tuple[str, ...]) -> bool:
        return all(self._alike(a, b) for a, b in zip(one, other, strict=True))

    def _alike(self, one: str, other: str) -> bool:
        inside: Callable[[str, str], bool] = _letters_inside if self._compat else _words_inside
        return inside(one, other) or inside(other, one) or self._synonyms.common(one, other)

    def _soft(self, ours: Sequence[str], theirs: Sequence[str]) -> tuple[float, float]:
        """Return the sums of the largest cosines of the elements that have no pair."""
        if self._embedder is None or not ours or not theirs:
            return 0.0, 0.0
        alike: FloatArray = cosines(self._embedder.embed(ours), self._embedder.embed(theirs))
        return float(alike.max(axis=1).sum()), float(alike.max(axis=0).sum())


def _pair(pairs: dict[int, int], i: int, candidates: Iterable[int]) -> None:
    taken = set(pairs.values())
    found = next((j for j in candidates if j not in taken), None)
    if found is not None:
        pairs[i] = found


def _elements(graph: Graph, kind: str) -> list[tuple[str, ...]]:
    """Return the elements of a kind. An attribute is compared without its object, as in the released program."""
    if kind == "object":
        return [(name,) for name in graph.objects]
    if kind == "attribute":
        return [(value,) for values in graph.attributes.values() for value in values]
    return [*graph.relations]


def _phrases(graph: Graph, kind: str) -> list[str]:
    return [" ".join(element) for element in _elements(graph, kind)]


def _letters_inside(one: str, other: str) -> bool:
    return one in other


def _words_inside(one: str, other: str) -> bool:
    return f" {one} " in f" {other} "


def _f1(precision: float, recall: float, epsilon: float) -> float:
    total = precision + recall + epsilon
    if total == 0:
        return 0.0
    return 2 * precision * recall / total
