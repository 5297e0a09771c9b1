"""A model backend: `constant/TEXT` answers every request with that text."""

from collections.abc import Iterator, Sequence

from eidolon.models.base.model import Request
from eidolon.scorers.core.types import Response


class ConstantModel:
    """Answers every request with the text that follows `constant/`."""

    def __init__(self, target: str) -> None:
        self._text = target

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield one response a request."""
        for request in requests:
            yield Response(
                sample_id=request.sample_id,
                image_id=request.image_id,
                generation=request.generation,
                response=self._text,
                prompt=request.prompt,
                finish_reason="stop",
            )
