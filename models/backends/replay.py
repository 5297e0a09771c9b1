"""A model that answers from a file of responses: a run without the model, or one made elsewhere."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from eidolon.models.base.model import Request
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_bytes, user_path
from eidolon.scorers.core.response_lines import read_responses
from eidolon.scorers.core.types import ImageId, Response


class ReplayModel:
    """Answers each request with the file's response to the same sample (or, failing that, the same image, but
    for questions, of which an image has several).

    The file has the format of `eidolon score --responses`. A request the file has no answer for comes back as
    an error, so that the sample is unscored rather than left out.
    """

    def __init__(self, path: str, /, **options: str) -> None:
        if options:
            raise UserError(f"replay/{path}: takes no options, found {', '.join(sorted(options))}")
        self._path = user_path(path)
        content = read_bytes(self._path)
        self._sha256 = hashlib.sha256(content).hexdigest()
        self._by_sample: dict[tuple[str, int], Response] = {}
        self._by_image: dict[tuple[ImageId, int], Response] = {}
        for line in read_responses(content, self._path):
            response = line.response
            self._by_sample[response.sample_id, response.generation] = response
            self._by_image.setdefault((response.image_id, response.generation), response)

    def describe(self) -> dict[str, Any]:
        """Return the file's name and SHA-256."""
        return {"backend": "replay", "file": self._path.name, "sha256": self._sha256}

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Yield the recorded response to each request, in order."""
        for request in requests:
            recorded = self._by_sample.get((request.sample_id, request.generation))
            if recorded is None and not request.is_question:
                recorded = self._by_image.get((request.image_id, request.generation))
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
