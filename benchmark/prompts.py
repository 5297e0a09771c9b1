"""The named prompts, and the rule by which a word on the command line is one of them or a text of its own."""

import re
from dataclasses import dataclass

from eidolon.scorers.errors import UserError, did_you_mean
from eidolon.scorers.signature import hashed

PRESETS = {
    "describe": "Describe this image in detail.",
    "describe-please": "Please describe this image in detail.",
    "brief": "Provide a brief description of the given image.",
    "concise": "Provide a concise description of the given image.",
    "caption": "Generate a short caption of the image.",
    "amber": "Describe this image.",
}
"""`describe` is THRONE's (Kaul et al. 2024), `describe-please` OPERA's (Huang et al. 2024), `amber` that of AMBER's
free-form part (Wang et al. 2023); the others are those of the CHAIR tables of POPE (Li et al. 2023), `caption` the
short one."""

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
    if value in PRESETS:
        return Prompt(value, PRESETS[value])
    if not value.strip():
        raise UserError("--prompt: is empty; name a preset or write a text")
    if _WORD.fullmatch(value):
        raise UserError(f"--prompt {value!r}: unknown prompt preset{did_you_mean(value, [*PRESETS])}")
    return Prompt("custom", value)
