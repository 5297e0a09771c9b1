"""The two ways to find hard negative names."""

import numpy as np

from eidolon.models.aligner.hard_negatives import confused_classes, similar_names
from eidolon.scorers.text.name_similarity import most_similar, name_distance, name_similarity

NAMES = ["VELTRA", "VELTRO", "VELTRINGEN", "STONE", "NOTES", "QUIB"]


def test_confusions_count_between_the_bounds_and_with_unlike_names() -> None:
    confusion = np.zeros((6, 6))
    confusion[0] = [60, 30, 10, 0, 0, 0]  # VELTRO is one letter off, VELTRINGEN is far enough
    confusion[3] = [4, 0, 0, 56, 40, 0]  # 40 % is too much, 4 % too little
    confusion[4] = [0, 0, 0, 5, 90, 5]
    hard = confused_classes(confusion, NAMES)
    assert {(NAMES[i], NAMES[j]) for i, j in zip(*np.nonzero(hard), strict=True)} == {
        ("VELTRA", "VELTRINGEN"),
        ("NOTES", "STONE"),
        ("NOTES", "QUIB"),
    }


def test_similar_names_share_beginnings_or_letters() -> None:
    hard = similar_names(NAMES)
    found = {frozenset((NAMES[i], NAMES[j])) for i, j in zip(*np.nonzero(hard), strict=True)}
    assert found == {
        frozenset(("VELTRA", "VELTRO")),
        frozenset(("VELTRA", "VELTRINGEN")),
        frozenset(("VELTRO", "VELTRINGEN")),
        frozenset(("STONE", "NOTES")),
    }
    assert (hard == hard.T).all()


def test_similarity_is_symmetric_and_ignores_case() -> None:
    assert name_similarity("Stone", "NOTES") == name_similarity("notes", "STONE") == 1
    assert name_similarity("heinz", "HEINEKEN") > 0.75 > name_similarity("heinz", "quib")
    assert name_distance("Heinz", "HEINE") == 1
    assert most_similar("VELTRA", [*NAMES, "veltra"])[0] == "VELTRO"
