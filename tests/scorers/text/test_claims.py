"""Claims about colour, count, side and relation, in sentences of our own."""

import re

import pytest

from eidolon.scorers.core.types import Mention
from eidolon.scorers.text.claims import find_claims

NAMES = {
    "cup": "cup", "cups": "cup", "dog": "dog", "man": "person", "women": "person", "scissors": "scissors",
    "bench": "bench", "truck": "truck",
}  # fmt: skip


def claims(text: str) -> list[str]:
    mentions = [
        Mention(
            category=NAMES[m[0].lower()], text=m[0], start=m.start(), end=m.end(), word=0, verdict="grounded"
        )
        for m in re.finditer(r"[A-Za-z]+", text)
        if m[0].lower() in NAMES
    ]
    found = []
    for claim in find_claims(text, mentions):
        other = f" {claim.other.category}" if claim.other else ""
        found.append(f"{claim.mention.category} {claim.kind} {claim.value}{other}")
    return sorted(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A small red cup stands there.", ["cup colour red"]),
        ("Two large shiny gray cups.", ["cup colour grey", "cup count 2"]),
        ("3 cups", ["cup count 3"]),
        ("A cup and a dog.", []),
        ("Several cups, many cups, the cups", []),
        ("A red and white cup", []),
        ("A blue truck and a dog", ["truck colour blue"]),
        ("The dog is mostly brown.", ["dog colour brown"]),
        ("The dog is brown and white.", []),
        ("The dog is a brown animal.", []),
        ("The dog is near a red bench.", ["bench colour red"]),
        ("A man in blue walks.", ["person colour blue"]),
        ("Two women wearing bright green.", ["person colour green", "person count 2"]),
        ("A dog in blue water", []),
        ("A pair of black scissors", ["scissors colour black", "scissors count 1"]),
        ("Two pairs of scissors", ["scissors count 2"]),
        ("A cup on the far left side of the image.", ["cup side left"]),
        ("In the centre there is a dog.", ["dog side middle"]),
        ("A dog to the left of the bench.", ["dog relation left bench"]),
        ("A dog to the left of the picture.", ["dog side left"]),
        ("A cup is above the old wooden bench.", ["cup relation above bench"]),
        ("A cup is beneath it, and a bench is there.", []),
        (
            "A dog on the right side of the image, below the bench.",
            ["dog relation below bench", "dog side right"],
        ),
        ("A cup. On the right, a dog.", ["dog side right"]),
        ("There is a cup.\nThe dog is red", ["dog colour red"]),
        ("", []),
    ],
)
def test_claims(text: str, expected: list[str]) -> None:
    assert claims(text) == expected
