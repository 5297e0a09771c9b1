"""The named prompts, and how `--prompt` is read: as the name of one, or as a text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.signature import hashed

PRESETS = {
    "describe": "Describe this image in detail.",
    "describe-please": "Please describe this image in detail.",
    "brief": "Provide a brief description of the given image.",
    "concise": "Provide a concise description of the given image.",
    "caption": "Generate a short caption of the image.",
    "amber": "Describe this image.",
    "small-first": "Describe this image in detail. Begin with the small objects and end with the large ones.",
    "large-first": "Describe this image in detail. Begin with the large objects and end with the small ones.",
    "sentences-1": "Describe this image in exactly one sentence.",
    "sentences-3": "Describe this image in exactly three sentences.",
    "sentences-8": "Describe this image in exactly eight sentences.",
    "sentences-20": "Describe this image in exactly twenty sentences.",
}
"""Sources: `describe` is the prompt of THRONE (Kaul et al. 2024), `describe-please` that of OPERA (Huang et al. 2024),
and `amber` that of AMBER's free-form part (Wang et al. 2023). `brief`, `concise` and `caption` are from the tables of
CHAIR in POPE (Li et al. 2023). `small-first` and `large-first` ask for an order:
`docs/explanation/forced-orders.md` explains them. `sentences-…` set the length, so that the same position occurs in
responses of different lengths: `docs/howto/measure-forgetting.md`."""

QUESTION = "{question}"
"""The placeholder of the question in a prompt of the task `probe`."""
QUESTION_PRESETS = {
    "question": QUESTION,
    "one-word": QUESTION + " Please answer this question with one word.",
    "letter": QUESTION + "\nAnswer with the letter of the right choice alone.",
    "single-word": QUESTION + "\nAnswer the question using a single word or phrase.",
}
"""Sources: `question` is POPE's prompt (Li et al. 2023), `one-word` that of VCD (Leng et al. 2024), and `single-word`
that of LLaVA-1.5 (Liu et al. 2024) and lmms-eval."""

MAX_CHARACTERS = 100_000
"""The longest prompt."""

_WORD = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of a run. `name` is the name of a preset, or `custom`."""

    name: str
    text: str

    def signature(self) -> str:
        """Return name and hash in the form of a score's signature."""
        return hashed(self.name, self.text)


def find_prompt(value: str) -> Prompt:
    """Return the preset with the name `value`, or `value` itself as a prompt.

    Raises:
        UserError: an empty text, or a single word that is no preset.
    """
    return _find(value, PRESETS)


def find_question_prompt(value: str) -> Prompt:
    """Return the prompt of the task `probe`: a preset, or a text with the placeholder `QUESTION`.

    Raises:
        UserError: an empty text, a single word that is no preset, or a text that does not hold `QUESTION` just once.
    """
    prompt = _find(value, QUESTION_PRESETS)
    if prompt.text.count(QUESTION) != 1:
        raise UserError(
            f"--prompt {value!r}: must hold {QUESTION} once, where --task probe puts the question"
        )
    return prompt


def _find(value: str, presets: Mapping[str, str]) -> Prompt:
    if value in presets:
        return Prompt(value, presets[value])
    if len(value) > MAX_CHARACTERS:
        raise UserError(
            f"--prompt: has {len(value)} characters; a prompt, which every request repeats, has at most "
            f"{MAX_CHARACTERS} characters"
        )
    if not value.strip():
        raise UserError("--prompt: is empty; name a preset or write a text")
    if _WORD.fullmatch(value):
        raise UserError(f"--prompt {value!r}: unknown prompt preset{did_you_mean(value, [*presets])}")
    return Prompt("custom", value)
