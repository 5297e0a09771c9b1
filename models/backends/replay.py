"""Answers from a file of responses: of an earlier run, or made by another program."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from eidolon.models.base.backend import BackendTraits
from eidolon.models.base.model import Request
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import check_regular, read_bytes, user_path
from eidolon.scorers.core.response_lines import read_responses
from eidolon.scorers.core.types import ImageId, Response


class ReplayModel:
    """Answers each request with the file's response to the same sample.

    If there is none, a response to the same image is used, except for questions: an image has several. A request
    without a response comes back as an error, so that the sample counts as unscored. The file has the format of
    `eidolon score --responses`.
    """

    traits: ClassVar[BackendTraits] = BackendTraits(one_process="it only reads a file", recorded=True)

    @classmethod
    def resolve(cls, target: str, given: str) -> str:
        """Return the path.

        Raises:
            UserError: there is no such file, or it is no regular file.
        """
        try:
            check_regular(user_path(target))
        except UserError as error:
            raise UserError(f"{given}: {error}") from None
        return target

    def __init__(self, path: str, /, **options: str) -> None:
        """Read the file.

        Raises:
            UserError: there are options, or the file cannot be read.
        """
        if options:
            raise UserError(f"replay/{path}: takes no options, found {', '.join(sorted(options))}")
        self._path = user_path(path)
        content = read_bytes(self._path)
        self._sha256 = hashlib.sha256(content).hexdigest()
        self._by_sample: dict[tuple[str, int], Response] = {}
        self._by_image: dict[tuple[ImageId, int], Response] = {}
        file = read_responses(content, self._path)
        for line in file.lines:
            response = line.response
            self._by_sample[response.sample_id, response.generation] = response
            self._by_image.setdefault((response.image_id, response.generation), response)
        self._ids = ImageIds({line.response.image_id for line in file.lines}, self._path)
        self._notes = [note.text() for note in file.notes]

    def describe(self) -> dict[str, Any]:
        """Return the file's name and SHA-256, and what was assumed to read it."""
        told = {"notes": self._notes} if self._notes else {}
        return {"backend": "replay", "file": self._path.name, "sha256": self._sha256, **told}

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Yield the recorded response to each request, in order."""
        for request in requests:
            recorded = self._by_sample.get((request.sample_id, request.generation))
            if recorded is None and not request.is_question:
                image_id = self._ids.find(request.image_id, f"image {request.image_id}")
                recorded = self._by_image.get(
                    (request.image_id if image_id is None else image_id, request.generation)
                )
            if recorded is None:
                recorded = Response(
                    sample_id=request.sample_id,
                    image_id=request.image_id,
                    response=None,
                    generation=request.generation,
                    finish_reason="error",
                    error=f"{self._path.name} has no response to sample {request.sample_id}",
                )
            yield recorded.model_copy(
                update={
                    "sample_id": request.sample_id,
                    "image_id": request.image_id,
                    "prompt": request.prompt,
                }
            )
