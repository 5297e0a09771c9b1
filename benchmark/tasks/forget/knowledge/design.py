"""The questions before a description: about every true object of an image, and about a sample of the absent ones.

Which objects are asked about does not depend on what the model writes. The absent ones are drawn by hash among the
dataset's categories. Each question has two wordings, each with one object and with several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.forced_orders.design import articled
from eidolon.benchmark.tasks.forget.retention.design import hash_order
from eidolon.benchmark.tasks.probe.questions import count
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.text.plurals import plural_forms

ABSENT = 24
"""Absent objects of each image that are asked about, if the dataset has so many."""
WORDINGS = (
    "{Be} there {one} in the image?",
    "Are there any {several} in the image?",
    "Can you see {one} in this picture?",
    "Do you see any {several}?",
)


@dataclass(frozen=True, slots=True)
class AskedObjects:
    """The objects of an image that are asked about."""

    sample_id: str
    image_id: ImageId
    objects: tuple[tuple[str, bool], ...]
    """Categories, each with whether it is in the image."""
    unasked: int
    """Absent categories of the dataset that are not asked about."""

    def questions(self) -> tuple[str, ...]:
        """Return all questions, object by object."""
        return tuple(question for name, _ in self.objects for question in questions_about(name))


def make_candidates(rows: Sequence[SampleRow], seed: int) -> Mapping[str, AskedObjects]:
    """Return the candidates of every sample with a true object, by sample id."""
    known = count(row.objects for row in {row.image_id: row for row in rows}.values()).popular
    found = {}
    for row in rows:
        absent = [name for name in known if name not in row.objects]
        asked = hash_order(absent, seed, "knowledge", row.sample_id)[:ABSENT]
        objects = (*((name, True) for name in row.objects), *((name, False) for name in asked))
        if row.objects and asked:
            found[row.sample_id] = AskedObjects(
                row.sample_id, row.image_id, objects, len(absent) - len(asked)
            )
    return found


def most_questions(rows: Sequence[SampleRow]) -> int:
    """Return the number of questions about all samples."""
    return sum(len(one.objects) for one in make_candidates(rows, 0).values()) * len(WORDINGS)


def questions_about(category: str) -> tuple[str, ...]:
    """Return the question whether a category is in the image, in all wordings."""
    one = articled(category)
    be = "Is" if one != category else "Are"
    several = next(iter(plural_forms(category)), category) if one != category else category
    return tuple(wording.format(Be=be, one=one, several=several) for wording in WORDINGS)
