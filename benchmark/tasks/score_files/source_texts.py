"""Texts that are the same for the same responses and ground truth, whatever file they come from; runs hash them."""

import hashlib
import heapq
import json
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice

from eidolon.benchmark.data.coco_format import Areas, Truth
from eidolon.benchmark.data.prompts import PRESETS, Prompt
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.signature import hashed, named_hash
from eidolon.scorers.core.types import ImageId, Response

IMPORT_BATCH = 512
"""Responses written at once."""
SORTED_AT_ONCE = 100_000
"""Lines that are sorted in memory."""


def references_text(references: Mapping[ImageId, Sequence[str]]) -> str:
    """Return a text that is the same for the same references; empty without any."""
    return "".join(sorted("\n" + json.dumps([image_id, *found]) for image_id, found in references.items()))


def truth_text(truth: Truth) -> str:
    """Return a text that is the same for the same images and objects, whatever they were read from."""
    return "\n".join(sorted(json.dumps([image_id, sorted(objects)]) for image_id, objects in truth.items()))


def looks(
    areas: Areas, sources: Mapping[ImageId, Sources | None], unknown: Mapping[ImageId, Sequence[object]]
) -> dict[str, str]:
    """Return the part of the configuration that says what is known of the objects beyond their being there, hashed;
    nothing where nothing is. `unknown` is what `unknown_of` returns, by image."""
    parts = {
        "areas": [json.dumps([i, sorted(found.items())]) for i, found in areas.items() if found],
        "sources": [
            json.dumps([i, sorted(told.annotated), sorted(told.captioned)])
            for i, told in sources.items()
            if told is not None
        ],
        "unknown": [
            json.dumps([i, *found]) for i, found in unknown.items() if any(found[:2]) or found[2] is not None
        ],
    }
    return {name: hashed(name, "\n".join(sorted(lines))) for name, lines in parts.items() if lines}


def unknown_of(
    unsure: Iterable[str], unasked: Iterable[str], labelled: Iterable[str] | None
) -> tuple[list[str], list[str], list[str] | None]:
    """Return what an annotator leaves open about an image, and its labels, for `looks`."""
    return sorted(unsure), sorted(unasked), None if labelled is None else sorted(labelled)


def truth_hash(
    name: str,
    truth: Iterable[tuple[ImageId, Collection[str]]],
    references: Mapping[ImageId, Sequence[str]] | None = None,
) -> str:
    """Return `hashed` of `truth_text` and `references_text`, of any number of images in little memory."""
    digest = hashlib.sha256()
    lines = in_sorted_order(json.dumps([image_id, sorted(objects)]) for image_id, objects in truth)
    for number, line in enumerate(lines):
        digest.update((f"\n{line}" if number else line).encode())
    digest.update(references_text(references or {}).encode())
    return named_hash(name, digest)


def in_sorted_order(lines: Iterable[str], most: int = SORTED_AT_ONCE) -> Iterator[str]:
    """Yield ASCII lines in sorted order. More than `most` are sorted in parts, which wait on the disk."""
    source = iter(lines)
    first = sorted(islice(source, most))
    if len(first) < most:
        yield from first
        return
    with ExitStack() as files:
        parts = [_on_disk(first, files)]
        del first
        while part := sorted(islice(source, most)):
            parts.append(_on_disk(part, files))
        yield from heapq.merge(*parts)


def _on_disk(lines: Sequence[str], files: ExitStack) -> Iterator[str]:
    file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 (the stack closes it)
    files.enter_context(file)
    file.writelines(f"{line}\n" for line in lines)
    file.seek(0)
    return (line[:-1] for line in file)


def common_prompt(responses: Sequence[Response]) -> str | None:
    """Return the prompt's part of the signature where all responses name the same one."""
    prompts = {response.prompt for response in responses}
    return prompt_part(prompts.pop() if len(prompts) == 1 else None)


def prompt_part(text: str | None) -> str | None:
    """Return the prompt's part of the signature, None where there is no prompt."""
    if text is None:
        return None
    name = next((name for name, preset in PRESETS.items() if preset == text), "custom")
    return Prompt(name, text).signature()
