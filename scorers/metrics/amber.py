"""AMBER: yes/no questions and free-form responses about the same images (Wang et al., arXiv 2311.07397).

Closed questions score the answer No: precision and recall measure how well a model denies what is not there.
Free-form responses are searched for the words of a list. Each word is true of the image, feared (something that
models like to add to it), or neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.metrics.amber_words import WordMatcher
from eidolon.scorers.metrics.objects import f_beta
from eidolon.scorers.metrics.throne import check_mode
from eidolon.scorers.text.answer import answer_text
from eidolon.scorers.text.yes_no import strict

DIMENSIONS = ("existence", "state", "number", "action", "relation")
TYPES = {
    "discriminative-hallucination": "existence",
    "discriminative-attribute-state": "state",
    "discriminative-attribute-number": "number",
    "discriminative-attribute-action": "action",
    "discriminative-relation": "relation",
    "relation": "relation",
}
"""The `type` of an annotation, and its dimension. The type `generative` is that of free-form items."""
GROUPS = {
    "": DIMENSIONS,
    "existence_": ("existence",),
    "attribute_": ("state", "number", "action"),
    "state_": ("state",),
    "number_": ("number",),
    "action_": ("action",),
    "relation_": ("relation",),
}
"""Prefix of each set of quantities, and the dimensions that it pools."""

START = 0.001
"""Initial value of the denominators in the released program, instead of 0."""
_CLOSED = ("questions", "right", "truth_no", "denied", "said_no", "unparsed")
_FREE = (
    "responses",
    "nouns",
    "hallucinated_nouns",
    "hallucinated_responses",
    "true_objects",
    "covered_objects",
    "feared_objects",
    "named_feared_objects",
)


@dataclass(frozen=True, slots=True)
class ClosedAnswer:
    """An answer to a yes/no question."""

    item_id: int
    image_id: ImageId
    dimension: str
    truth: bool
    answer: str


@dataclass(frozen=True, slots=True)
class FreeAnswer:
    """A free-form response, with the true objects of its image and the feared ones."""

    item_id: int
    image_id: ImageId
    truth: tuple[str, ...]
    feared: tuple[str, ...]
    response: str


@dataclass(frozen=True, slots=True)
class AmberReading:
    """The listed nouns that a free-form response names, the wrong ones among them, and the objects that they name."""

    nouns: tuple[str, ...]
    hallucinated: tuple[str, ...]
    covered: frozenset[int]
    """Positions of the named objects in the list of true objects."""
    feared: frozenset[int]
    """Positions of the named objects in the list of feared objects."""


class AmberRates:
    """All numbers of AMBER as fractions, computed from counts.

    The mode `compat` follows the released program. Only exactly "Yes" and "No" are answers, denominators start at
    0.001, values are rounded to tenths of a percent, and F1 is computed from the rounded precision and recall. The
    mode `fixed` reads yes and no in any case and with punctuation after them, starts at 0 and rounds nothing.
    """

    family: str = "amber"
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("score", "AMBER ↑"),
        LeaderboardColumn("chair", "AMBER CHAIR ↓"),
        LeaderboardColumn("f1", "AMBER F1 ↑"),
    )

    def __init__(self, mode: str) -> None:
        self.mode = check_mode(mode)
        self.quantities = _quantities()
        self.columns: tuple[str, ...] = (
            *(f"{dimension}_{name}" for dimension in DIMENSIONS for name in _CLOSED),
            *_FREE,
        )

    def closed_counts(self, dimension: str, truth: bool, read: bool | None) -> FloatArray:
        """Return the counts of one answered question, shape (38,). `read` is the answer as it was read."""
        row = np.zeros(len(self.columns))
        start = DIMENSIONS.index(dimension) * len(_CLOSED)
        row[start : start + len(_CLOSED)] = (
            1,
            read == truth,
            not truth,
            read is False and not truth,
            read is False,
            read is None,
        )
        return row

    def free_counts(
        self,
        truth: Sequence[str],
        feared: Sequence[str],
        nouns: Sequence[str],
        hallucinated: Sequence[str],
        covered: Sequence[str],
        named_feared: Sequence[str],
    ) -> FloatArray:
        """Return the counts of one free-form response, shape (38,).

        `truth` and `feared` are the objects of the image, `covered` and `named_feared` those of them that the
        response names. In `fixed`, objects that are listed twice count once.
        """
        sizes = [
            len(words if self.mode == "compat" else set(words))
            for words in (truth, covered, feared, named_feared)
        ]
        row = np.zeros(len(self.columns))
        row[-len(_FREE) :] = (1, len(nouns), len(hallucinated), bool(hallucinated), *sizes)
        return row

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 38) to the quantities, shape (...)."""
        column = {name: totals[..., i] for i, name in enumerate(self.columns)}
        values: dict[str, FloatArray] = {}
        for prefix, dimensions in GROUPS.items():
            sums = {name: sum((column[f"{d}_{name}"] for d in dimensions), 0.0) for name in _CLOSED}
            # One counter for each dimension, but a single one for all together.
            counters = 1 if prefix == "" else len(dimensions)
            values |= {prefix + name: v for name, v in self._rates(sums, counters, prefix).items()}
        questions = sum((column[f"{d}_questions"] for d in DIMENSIONS), 0.0)
        values["unparsed"] = ratio(sum((column[f"{d}_unparsed"] for d in DIMENSIONS), 0.0), questions)
        values["chair"] = self._share(column["hallucinated_nouns"], column["nouns"], column["responses"])
        values["cover"] = self._share(column["covered_objects"], column["true_objects"], column["responses"])
        clean = column["responses"] - column["hallucinated_responses"]
        values["hal"] = self._complement(clean, column["responses"])
        values["cog"] = self._share(
            column["named_feared_objects"], column["feared_objects"], column["responses"]
        )
        values["score"] = (1 - values["chair"] + values["f1"]) / 2
        return {q.name: values[q.name] for q in self.quantities}

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 38) to the events and trials of the shares, each (...)."""
        column = {name: totals[..., i] for i, name in enumerate(self.columns)}
        shares: dict[str, Share] = {}
        for prefix, dimensions in GROUPS.items():
            sums = {name: sum((column[f"{d}_{name}"] for d in dimensions), np.zeros(())) for name in _CLOSED}
            shares[f"{prefix}accuracy"] = Share(sums["right"], sums["questions"])
            shares[f"{prefix}precision"] = Share(sums["denied"], sums["said_no"])
            shares[f"{prefix}recall"] = Share(sums["denied"], sums["truth_no"])
            if not prefix:
                shares["unparsed"] = Share(sums["unparsed"], sums["questions"])
        return shares | {
            "chair": Share(column["hallucinated_nouns"], column["nouns"]),
            "cover": Share(column["covered_objects"], column["true_objects"]),
            "hal": Share(column["hallucinated_responses"], column["responses"]),
            "cog": Share(column["named_feared_objects"], column["feared_objects"]),
        }

    def _rates(
        self, sums: Mapping[str, FloatArray | float], counters: int, prefix: str
    ) -> dict[str, FloatArray]:
        asked = np.asarray(sums["questions"])
        if self.mode == "fixed":
            right, truth_no, denied, said_no = (
                np.asarray(sums[name]) for name in ("right", "truth_no", "denied", "said_no")
            )
            f1 = f_beta(denied, said_no - denied, truth_no - denied, beta=1)
            return {
                "accuracy": ratio(right, asked),
                "precision": ratio(denied, said_no),
                "recall": ratio(denied, truth_no),
                "f1": f1,
            }
        start = START * counters
        accuracy, precision, recall = (
            _rounded(np.asarray(sums[top]) / (np.asarray(sums[bottom]) + start) * 100)
            for top, bottom in (("right", "questions"), ("denied", "said_no"), ("denied", "truth_no"))
        )
        p, r = precision / 100, recall / 100
        f1 = _rounded(2 * p * r / (p + r + (0.001 if prefix == "existence_" else 0.0001)) * 100)
        percent = {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}
        return {name: _fraction(value, asked) for name, value in percent.items()}

    def _share(self, top: FloatArray, bottom: FloatArray, responses: FloatArray) -> FloatArray:
        if self.mode == "fixed":
            return ratio(top, bottom)
        return _fraction(_rounded(top / (bottom + START) * 100), responses)

    def _complement(self, top: FloatArray, bottom: FloatArray) -> FloatArray:
        if self.mode == "fixed":
            return 1 - ratio(top, bottom)
        return _fraction(_rounded(100 - top / (bottom + START) * 100), bottom)


class Amber(AmberRates):
    """AMBER's numbers, computed from answers."""

    def __init__(
        self,
        mode: str,
        relations: Mapping[str, Sequence[str]],
        matcher: WordMatcher,
        safe_words: frozenset[str] = frozenset(),
    ) -> None:
        """Take the words associated with each object, and words that are never right or wrong."""
        super().__init__(mode)
        self.relations, self.matcher, self.safe_words = relations, matcher, safe_words

    def parse(self, answer: str) -> bool | None:
        """Return the answer as it is read: True for yes, False for no, None for neither."""
        if self.mode == "compat":
            return {"Yes": True, "No": False}.get(answer_text(answer, clean=False))
        return strict(answer)

    def named(self, sample: FreeAnswer) -> AmberReading:
        """Return what a free-form response names."""
        nouns = tuple(self.matcher.nouns(answer_text(sample.response, clean=self.mode != "compat")))
        covered: set[int] = set()
        feared: set[int] = set()
        wrong = []
        for noun in nouns:
            if noun in self.safe_words:
                continue
            if found := self._places(noun, sample.truth):
                covered |= found
                continue
            feared |= self._places(noun, sample.feared)
            feared |= self._alike(noun, sample.feared)
            if found := self._alike(noun, sample.truth):
                covered |= found
                continue
            wrong.append(noun)
        return AmberReading(nouns, tuple(wrong), frozenset(covered), frozenset(feared))

    def statistics(self, samples: Sequence[ClosedAnswer | FreeAnswer]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 38)."""
        rows = [self._counts(sample) for sample in samples]
        return np.array(rows).reshape(len(samples), len(self.columns))

    def _counts(self, sample: ClosedAnswer | FreeAnswer) -> FloatArray:
        if isinstance(sample, ClosedAnswer):
            return self.closed_counts(sample.dimension, sample.truth, self.parse(sample.answer))
        named = self.named(sample)
        return self.free_counts(
            sample.truth,
            sample.feared,
            named.nouns,
            named.hallucinated,
            [sample.truth[i] for i in named.covered],
            [sample.feared[i] for i in named.feared],
        )

    def _places(self, noun: str, objects: Sequence[str]) -> set[int]:
        """Return the positions of the objects that a noun names.

        In `compat` it is the first one only, associated words before the objects themselves: on an image with a
        person and a man, "man" covers the person. In `fixed` it is the object itself if it is there, else all objects
        that the noun is associated with.
        """
        own = [i for i, word in enumerate(objects) if word == noun]
        associated = [i for i, word in enumerate(objects) if noun in self.relations[word]]
        if self.mode == "compat":
            return set([*associated, *own][:1])
        return set(own or associated)

    def _alike(self, noun: str, objects: Sequence[str]) -> set[int]:
        """Return the first object that the matcher finds similar to the noun, in the order of the released program."""
        words = [(other, i) for i, word in enumerate(objects) for other in self.relations[word]]
        for word, i in [*words, *((word, i) for i, word in enumerate(objects))]:
            if self.matcher.alike(noun, word):
                return {i}
        return set()


def _rounded(percent: FloatArray) -> FloatArray:
    """Round to one decimal as Python does. numpy rounds differently."""
    flat = [round(value, 1) for value in np.ravel(percent).tolist()]
    return np.array(flat, dtype=float).reshape(np.shape(percent))


def _fraction(percent: FloatArray, asked: FloatArray) -> FloatArray:
    """Return tenths of a percent as a fraction, NaN if nothing was asked."""
    return np.where(asked > 0, np.rint(percent * 10) / 1000, np.nan)


def _quantities() -> tuple[Quantity, ...]:
    closed = []
    for prefix in GROUPS:
        where = prefix.rstrip("_") or "closed"
        absent = f"no {where} question has an answer"
        closed += [
            Quantity(f"{prefix}accuracy", True, (0, 1), "right answers / questions", absent),
            Quantity(
                f"{prefix}precision", True, (0, 1), "right No / answered No", f"{absent}, or none is No"
            ),
            Quantity(
                f"{prefix}recall", True, (0, 1), "right No / truth no", f"{absent}, or none is to be No"
            ),
            Quantity(f"{prefix}f1", True, (0, 1), "2PR / (P + R)", f"{absent}, or none is or should be No"),
        ]
    free = "there is no free-form response"
    return (
        *closed,
        Quantity("unparsed", False, (0, 1), "answers not read / questions", "no question has an answer"),
        Quantity("chair", False, (0, 1), "hallucinated / listed nouns", f"{free} that names a listed noun"),
        Quantity("cover", True, (0, 1), "true objects named / true objects", f"{free} to cover an object"),
        Quantity("hal", False, (0, 1), "responses with a hallucinated noun / responses", free),
        Quantity("cog", False, (0, 1), "feared objects named / feared objects", free),
        Quantity("score", True, (0, 1), "(1 - chair + f1) / 2", "chair or f1 is"),
    )
