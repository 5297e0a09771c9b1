"""Responses in memory with the truth and the captions of their images, for metrics that need all of them at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from eidolon.benchmark.data.coco_format import Truth, read_captions
from eidolon.benchmark.data.ground_truth import find_image
from eidolon.benchmark.data.truth_file import SOURCE, FileTruth
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.notes import InputNote, assumed, warning
from eidolon.scorers.core.response_lines import ResponseLine, match_images
from eidolon.scorers.core.types import ImageId


def join_lines(
    given: Sequence[ResponseLine], known: FileTruth, responses: Path, objects: Path
) -> tuple[list[ResponseLine], Truth, list[InputNote]]:
    """Return the responses with the image ids of the truth, the truth of their images, and notes.

    Raises:
        UserError: an image has no truth, or its id may mean several.
    """
    ids = known.ids(objects)
    lines = match_images(given, ids)
    truth: Truth = {}
    for line in lines:
        image_id = find_image(ids, line.response.image_id, line.place, objects)
        truth[image_id] = known.objects[image_id]
    notes = ids.notes("responses", len(truth))
    if not any(truth.values()):
        notes.append(warning(SOURCE, "no objects", images=len(truth)))
    return lines, truth, notes


def gather_captions(
    lines: Sequence[ResponseLine], responses: Path, path: Path | None, ids: ImageIds
) -> tuple[dict[ImageId, list[str]], list[InputNote]]:
    """Return the reference captions of those images, from the captions file and the response lines, and notes.

    A captions file that knows none of the images is a UserError; the path of the responses is for its message. `ids`
    are those of the truth, which the responses have too.
    """
    wanted = dict.fromkeys(line.response.image_id for line in lines)
    captions: dict[ImageId, list[str]] = {image_id: [] for image_id in wanted}
    notes: list[InputNote] = []
    if path is not None:
        file = read_captions(path)
        matched = {given: ids.find(given, str(path)) for given in file.texts}
        for given, image_id in matched.items():
            if image_id in captions:
                captions[image_id].extend(file.texts[given])
        notes += file.notes
        other = {given: found for given, found in matched.items() if found in wanted and found != given}
        if other:
            notes.append(
                assumed(
                    "captions", "ids", count=len(other), of=len(wanted), example=[*next(iter(other.items()))]
                )
            )
        if lines and not any(captions.values()):
            raise UserError(
                f"{lines[0].place}: image {excerpt(lines[0].response.image_id)} is not in {path}; nor is any other "
                "image that was responded to"
            )
    for line in lines:
        captions[line.response.image_id].extend(line.references)
    found = {image_id: texts for image_id, texts in captions.items() if texts}
    if found and (bare := [image_id for image_id in wanted if image_id not in found]):
        source = "responses" if path is None else "captions"
        notes.append(warning(source, "captions", count=len(bare), of=len(wanted), first=bare[0]))
    return found, notes


def distinct(captions: Mapping[ImageId, Sequence[str]]) -> dict[ImageId, tuple[str, ...]]:
    """Return the captions of each image, each once: every response to an image may bring them along."""
    return {image_id: tuple(dict.fromkeys(found)) for image_id, found in captions.items()}
