"""The strings of the protocol are frozen: a changed byte would be another benchmark."""

import hashlib

import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.judges.throne_questions import FORMATS, parse_formats, prompt, question
from eidolon.scorers.text.lexicon import load_lexicon

FROZEN = "d0d5de5adec3cddeb4e1222eea1be534f52be51cf161ef4f0dc300241e5c749c"
EXAMPLES = {
    ("1a", "dog"): "Please answer yes or no. Is there a dog in this image?",
    ("1b", "dog"): "Is there a dog in this image?",
    ("2a", "dog"): "Please answer yes or no. Does the text imply a dog is in the image?",
    ("2b", "dog"): "Does the text imply a dog is in the image?",
    ("3a", "dog"): "Please answer yes or no. Does the text give evidence for a dog being present?",
    ("3b", "dog"): "Does the text give evidence for a dog being present?",
    ("4a", "dog"): "Please answer yes or no. Does the text explicitly mention a dog is in the image?",
    ("4b", "dog"): "Does the text explicitly mention a dog is in the image?",
    ("1a", "skis"): "Please answer yes or no. Are there skis in this image?",
    ("1b", "scissors"): "Are there scissors in this image?",
    ("2a", "skis"): "Please answer yes or no. Does the text imply skis are in the image?",
    ("2b", "scissors"): "Does the text imply scissors are in the image?",
    ("3a", "skis"): "Please answer yes or no. Does the text give evidence for skis being present?",
    ("3b", "scissors"): "Does the text give evidence for scissors being present?",
    ("4a", "skis"): "Please answer yes or no. Does the text explicitly mention skis are in the image?",
    ("4b", "scissors"): "Does the text explicitly mention scissors are in the image?",
    ("1b", "tie"): "Is there a necktie in this image?",
    ("1b", "umbrella"): "Is there an umbrella in this image?",
    ("1b", "orange"): "Is there an orange in this image?",
    ("1b", "hot dog"): "Is there a hot dog in this image?",
    ("1b", "hair drier"): "Is there a hair drier in this image?",
}


@pytest.mark.parametrize(("asked", "text"), EXAMPLES.items(), ids=lambda value: "-".join(value)[:20])
def test_examples(asked: tuple[str, str], text: str) -> None:
    assert question(*asked) == text


def test_every_byte_is_frozen() -> None:
    """All formats of all COCO categories, in the protocol's order, in the protocol's wrapper."""
    categories = load_lexicon("coco80").vocabulary
    everything = "\n".join(prompt("A text.", question(f, c)) for f in FORMATS for c in categories)
    assert len(everything.splitlines()) == 8 * 80 * 5
    assert hashlib.sha256(everything.encode()).hexdigest() == FROZEN


def test_the_wrapper_cuts_at_1024_characters() -> None:
    assert prompt("ä" * 1024 + "b", "Is it?") == (
        "Text: " + "ä" * 1024 + "\n\nRead the text and answer the question.\n\nIs it?"
    )


def test_the_vocabulary_is_in_the_order_of_cocos_ids() -> None:
    ids = [category.id for category in load_lexicon("coco80").categories]
    assert ids == sorted(i for i in ids if i is not None)
    assert (ids[0], ids[-1], len(ids)) == (1, 90, 80)


def test_names_of_formats() -> None:
    assert parse_formats("4b, 1a") == ("4b", "1a")
    with pytest.raises(UserError, match="unknown format '5a'"):
        parse_formats("1a,5a")
    with pytest.raises(UserError, match="twice"):
        parse_formats("1a,1a")
