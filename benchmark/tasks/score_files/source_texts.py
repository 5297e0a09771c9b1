"""Texts that are the same for the same responses and ground truth, whatever file they come from; runs hash them."""

import json
from collections.abc import Mapping, Sequence

from eidolon.benchmark.data.coco_format import Areas, Truth
from eidolon.benchmark.data.prompts import PRESETS, Prompt
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import ImageId, Response

IMPORT_BATCH = 512
"""Responses written at once."""


def references_text(references: Mapping[ImageId, Sequence[str]]) -> str:
    """Return a text that is the same for the same references; empty without any."""
    return "".join(sorted("\n" + json.dumps([image_id, *found]) for image_id, found in references.items()))


def truth_text(truth: Truth) -> str:
    """Return a text that is the same for the same images and objects, whatever they were read from."""
    return "\n".join(sorted(json.dumps([image_id, sorted(objects)]) for image_id, objects in truth.items()))


def looks(areas: Areas, sources: Mapping[ImageId, Sources | None]) -> dict[str, str]:
    """Return the part of the configuration that says what is known of the objects beyond their being there, hashed;
    nothing where nothing is."""
    parts = {
        "areas": [json.dumps([i, sorted(found.items())]) for i, found in areas.items() if found],
        "sources": [
            json.dumps([i, sorted(told.annotated), sorted(told.captioned)])
            for i, told in sources.items()
            if told is not None
        ],
    }
    return {name: hashed(name, "\n".join(sorted(lines))) for name, lines in parts.items() if lines}


def common_prompt(responses: Sequence[Response]) -> str | None:
    """Return the prompt's part of the signature where all responses name the same one."""
    prompts = {response.prompt for response in responses}
    if len(prompts) != 1 or (text := prompts.pop()) is None:
        return None
    name = next((name for name, preset in PRESETS.items() if preset == text), "custom")
    return Prompt(name, text).signature()
