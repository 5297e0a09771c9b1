"""A model: the class of `python/mine.py:Blind`, installed. `eidolon run --model blind` runs it."""

from collections.abc import Iterator, Sequence

from eidolon.models.base.model import Request


class Blind:
    """Says the same of every picture."""

    def generate(self, requests: Sequence[Request]) -> Iterator[str]:
        """Yield one text per request."""
        for _ in requests:
            yield "A red car on the left side of the street, and a person with an umbrella."
