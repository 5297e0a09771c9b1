"""The named prompts, and the rule by which a word on the command line is one of them or a text of its own."""

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
}
"""`describe` is THRONE's (Kaul et al. 2024), `describe-please` OPERA's (Huang et al. 2024), `amber` that of AMBER's
free-form part (Wang et al. 2023); the others are those of the CHAIR tables of POPE (Li et al. 2023), `caption` the
short one. The last two ask for an order: `docs/forgetting.md`."""

QUESTION = "{question}"
"""Where the question goes in a prompt of the task `probe`."""
QUESTION_PRESETS = {
    "question": QUESTION,
    "one-word": QUESTION + " Please answer this question with one word.",
    "single-word": QUESTION + "\nAnswer the question using a single word or phrase.",
}
"""`question` is POPE's own (Li et al. 2023), `one-word` VCD's (Leng et al. 2024), `single-word` that of LLaVA-1.5
(Liu et al. 2024) and lmms-eval."""

_WORD = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked; `name` is a preset's, or `custom`."""

    name: str
    text: str

    def signature(self) -> str:
        """Return name and hash as they stand in a score's signature."""
        return hashed(self.name, self.text)


def find_prompt(value: str) -> Prompt:
    """Return the preset of that name, or a free text; a single word that is no preset is a UserError."""
    return _find(value, PRESETS)


def find_question_prompt(value: str) -> Prompt:
    """Return the same for the task `probe`; a text without the place of the question, once, is a UserError."""
    prompt = _find(value, QUESTION_PRESETS)
    if prompt.text.count(QUESTION) != 1:
        raise UserError(
            f"--prompt {value!r}: must hold {QUESTION} once, where --task probe puts the question"
        )
    return prompt


def _find(value: str, presets: Mapping[str, str]) -> Prompt:
    if value in presets:
        return Prompt(value, presets[value])
    if not value.strip():
        raise UserError("--prompt: is empty; name a preset or write a text")
    if _WORD.fullmatch(value):
        raise UserError(f"--prompt {value!r}: unknown prompt preset{did_you_mean(value, [*presets])}")
    return Prompt("custom", value)
