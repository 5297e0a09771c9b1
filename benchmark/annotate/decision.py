"""From the scores of all images to the lines of the file. `eidolon check` makes the same lines again."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eidolon.benchmark.annotate.annotator import DIGITS, Looked
from eidolon.benchmark.annotate.calibrate import (
    choose_cut,
    decide,
    fit,
    fixed_cut,
    probabilities,
)
from eidolon.benchmark.data.annotation_file import AnnotatedImage, Cut, LabelledPart, Platt
from eidolon.scorers.core.metric import FloatArray

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Rule:
    """How probabilities become present and absent."""

    sure: float
    fixed: tuple[float, float] | None
    """The user's own cut."""
    usual: tuple[float, float]
    """The annotator's, where there is no labelled part."""
    seed: int


@dataclass(frozen=True, slots=True)
class Facts:
    """An image, and what the annotator and people say of it."""

    image_id: str
    image: str
    sha256: str
    looked: Looked
    labelled: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What follows from the scores."""

    rows: list[AnnotatedImage]
    cut: Cut
    calibration: Platt | None
    labelled: LabelledPart | None


def decide_all(
    facts: Sequence[Facts], names: Sequence[str], rule: Rule, file: str = "", sha256: str = ""
) -> Decided:
    """Return the lines of the file. `file` and `sha256` are those of the labelled part.

    A labelled image is decided with a calibration and a cut from the other folds. Otherwise its own labels would have
    made the annotator better on the labelled part than it is elsewhere, and prediction-powered intervals too narrow
    (cross-prediction, Zrnic & Candès 2024).
    """
    scores = np.array([[one.looked.scores[name] for name in names] for one in facts], dtype=float)
    known = [i for i, one in enumerate(facts) if one.labelled is not None]
    if not known:
        low, high = rule.fixed or rule.usual
        cut = fixed_cut(low, high, "given" if rule.fixed else "fixed, not chosen on labelled images")
        found = probabilities(scores, None, names)
        return Decided(_rows(facts, names, [None] * len(facts), found, [cut] * len(facts)), cut, None, None)
    truth = np.array([[name in (one.labelled or ()) for name in names] for one in facts])
    calibration, cut = _choose(scores, truth, known, names, rule)
    used: list[tuple[Platt, Cut]] = [(calibration, cut)] * len(facts)
    for fold in folds(len(known), rule.seed):
        held = {known[k] for k in fold}
        other = _choose(scores, truth, [i for i in known if i not in held], names, rule)
        for i in held:
            used[i] = other
    found = np.concatenate([probabilities(scores[i : i + 1], one[0], names) for i, one in enumerate(used)])
    rows = _rows(facts, names, [one[0] for one in used], found, [one[1] for one in used])
    part = _quality([rows[i] for i in known], names, file, sha256)
    return Decided(rows, cut, calibration, part)


def folds(count: int, seed: int) -> list[list[int]]:
    """Return the positions of each fold of so many images, drawn by the seed."""
    order = [*range(count)]
    random.Random(seed).shuffle(order)
    return [part for k in range(FOLDS) if (part := order[k::FOLDS])]


def _choose(
    scores: FloatArray,
    truth: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]",
    at: Sequence[int],
    names: Sequence[str],
    rule: Rule,
) -> tuple[Platt, Cut]:
    """Return the calibration and the cut by some labelled images."""
    calibration = fit(scores[at], truth[at], names)
    if rule.fixed is not None:
        return calibration, fixed_cut(*rule.fixed, "given")
    return calibration, choose_cut(probabilities(scores[at], calibration, names), truth[at], rule.sure)


def _rows(
    facts: Sequence[Facts],
    names: Sequence[str],
    calibrations: Sequence[Platt | None],
    found: FloatArray,
    cuts: Sequence[Cut],
) -> list[AnnotatedImage]:
    rows = []
    for one, calibration, p, cut in zip(facts, calibrations, found, cuts, strict=True):
        present, unsure = decide(p, cut)
        objects = tuple(name for name, yes in zip(names, present, strict=True) if yes)
        boxes = {name: kept for name in objects if (kept := _kept(name, one.looked, calibration, names, cut))}
        rows.append(
            AnnotatedImage(
                image_id=one.image_id,
                image=one.image,
                image_sha256=one.sha256,
                objects=objects,
                unsure=tuple(name for name, yes in zip(names, unsure, strict=True) if yes),
                labelled=one.labelled,
                probabilities=dict(zip(names, p.tolist(), strict=True)),
                scores=dict(one.looked.scores),
                areas={name: max(map(_area, kept)) for name, kept in boxes.items()},
                boxes=boxes,
                counts={name: len(kept) for name, kept in boxes.items()},
                found={name: tuple(boxes) for name, boxes in one.looked.boxes.items()},
            )
        )
    return rows


def _kept(
    name: str, looked: Looked, calibration: Platt | None, names: Sequence[str], cut: Cut
) -> tuple[tuple[float, float, float, float], ...]:
    """Return the boxes of a name that are present by themselves."""
    candidates = looked.boxes.get(name, ())
    if not candidates or cut.high is None:
        return ()
    p = probabilities(np.array([[box[4]] for box in candidates]), _only(calibration, name), [name])[:, 0]
    return tuple(box[:4] for box, share in zip(candidates, p, strict=True) if share >= cut.high)


def _only(calibration: Platt | None, name: str) -> Platt | None:
    if calibration is None:
        return None
    return Platt(slope=calibration.slope, offsets={name: calibration.offsets[name]})


def _area(box: tuple[float, float, float, float]) -> float:
    return round((box[2] - box[0]) * (box[3] - box[1]), DIGITS)


def _quality(rows: Sequence[AnnotatedImage], names: Sequence[str], file: str, sha256: str) -> LabelledPart:
    """Return how well the annotator does on the labelled images."""
    hits = sum(len({*row.objects} & {*(row.labelled or ())}) for row in rows)
    said = sum(len(row.objects) for row in rows)
    true = sum(len({*(row.labelled or ())} - {*row.unsure}) for row in rows)
    return LabelledPart(
        file=file,
        sha256=sha256,
        images=len(rows),
        folds=len(folds(len(rows), 0)),
        precision=round(hits / said, DIGITS) if said else None,
        recall=round(hits / true, DIGITS) if true else None,
        unsure=round(sum(len(row.unsure) for row in rows) / (len(rows) * len(names)), DIGITS),
    )


def looked_of(row: AnnotatedImage) -> Looked:
    """Return what the annotator said, from a line of the file."""
    return Looked(row.scores, row.found)


def scores_by_image(rows: Sequence[AnnotatedImage]) -> Mapping[str, Looked]:
    """Return the annotator's scores, by the hash of its file."""
    return {row.image_sha256: looked_of(row) for row in rows}
