"""Answers that plainly hallucinate, and answers that do not: what a judge that rates answers gets right.

Each question has one answer that agrees with the true one and one that contradicts it. The texts are our own and are
about no dataset.
"""

from typing import NamedTuple


class RatingProbe(NamedTuple):
    """An answer to a question, with what a judge is told about the picture, and whether the answer hallucinates."""

    contents: tuple[str, ...]
    question: str
    truth: str
    answer: str
    hallucinates: bool


_CASES = (
    # contents, question, true answer, an answer that agrees, one that contradicts it
    (
        ("Kettle", "Stove"),
        "What colour is the kettle?",
        "The kettle is blue.",
        "It is a blue kettle.",
        "It is a red kettle.",
    ),
    (
        ("Goat", "Fence"),
        "How many goats are there?",
        "There are three goats.",
        "Three goats stand at the fence.",
        "There is only one goat.",
    ),
    (
        ("Bench", "Tree"),
        "Who sits on the bench?",
        "The bench is empty; no one is there.",
        "There is no one on the bench.",
        "An old man with a hat sits on the bench.",
    ),
    (
        ("Boat", "Harbour"),
        "Where is the boat?",
        "The boat is to the left of the lighthouse.",
        "To the left of the lighthouse.",
        "The boat lies to the right of the lighthouse.",
    ),
    (
        ("Street", "Car"),
        "What is the weather like?",
        "It is raining.",
        "It rains, and the street is wet.",
        "It is a sunny day with a clear blue sky.",
    ),
    (
        ("Table", "Plate", "Pear"),
        "Describe the picture.",
        "A pear lies on a white plate on a wooden table. There is nothing else.",
        "There is a pear on a white plate. The plate is on a table made of wood.",
        "A pear and two bananas lie on a white plate, next to a glass of milk and a sleeping cat.",
    ),
    (
        ("Shop", "Sign"),
        "What is written on the sign?",
        "The sign says OPEN.",
        "It reads OPEN.",
        "It reads CLOSED UNTIL MONDAY.",
    ),
    (
        ("Horse", "Rider"),
        "Is the rider wearing a helmet?",
        "Yes, the rider wears a helmet.",
        "Yes, there is a helmet on the rider's head.",
        "No, the rider wears no helmet.",
    ),
)
PROBES = tuple(
    probe
    for contents, question, truth, right, wrong in _CASES
    for probe in (
        RatingProbe(contents, question, truth, right, False),
        RatingProbe(contents, question, truth, wrong, True),
    )
)
"""Pairs of neighbours have the same question."""
