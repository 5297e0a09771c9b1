"""Short texts with questions whose answers are certain: what a judge that reads English gets right.

Half of the questions are about something that the text claims, half about something that it does not name or denies.
The texts are our own and are about no dataset.
"""

from typing import NamedTuple


class ProbeQuestion(NamedTuple):
    """A text, a category, and whether the text claims it."""

    text: str
    category: str
    claimed: bool


_TEXTS = (
    # text, what it claims, what it does not claim
    ("A brown dog sleeps on a rug beside a glass door.", "dog", "bicycle"),
    ("Two people share a pizza at a small table outside.", "pizza", "elephant"),
    ("The street is empty, with no cars, and one bus waits at the corner.", "bus", "car"),
    ("A woman in a red coat holds an umbrella over her child.", "umbrella", "boat"),
    ("There is a white sink below the mirror. A cat would fit in well here.", "sink", "cat"),
    ("A man throws a frisbee across the park, but his dog is not with him.", "frisbee", "dog"),
    ("An old clock stands on the shelf between two vases.", "clock", "laptop"),
    ("A train crosses the bridge while birds fly overhead.", "train", "horse"),
    ("Several sheep graze in front of a barn. The field has no cows.", "sheep", "cow"),
    ("The kitchen has an oven and a wooden counter, and the fridge was taken away.", "oven", "refrigerator"),
    ("A boy rides his skateboard down the steps of the school.", "skateboard", "airplane"),
    ("Fresh bananas lie in a bowl next to a knife.", "banana", "toilet"),
    ("A giraffe bends down to the water, and the zebras have left.", "giraffe", "zebra"),
    ("The bench under the tree is covered in leaves.", "bench", "truck"),
    ("A tall vase with dry flowers decorates the hall.", "vase", "surfboard"),
    ("She reads a book on the couch without a lamp or a television near her.", "book", "tv"),
)
PROBES = tuple(
    probe
    for text, claimed, absent in _TEXTS
    for probe in (ProbeQuestion(text, claimed, True), ProbeQuestion(text, absent, False))
)
"""Pairs of neighbours have the same text."""
