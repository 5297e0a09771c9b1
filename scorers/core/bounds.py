"""The largest values that are read from files, models and services. Beyond them, sums overflow and rules take long."""

from typing import Annotated, TypeAlias

from pydantic import Field

MAX_RESPONSE_CHARACTERS = 1_000_000
"""The longest response that is judged. A page of text has 3,000 characters, and 128,000 tokens half a million."""
MAX_TOKEN_COUNT = 10**9
"""The largest count of tokens of one response that is believed."""

TokenCount: TypeAlias = Annotated[int, Field(ge=0, le=MAX_TOKEN_COUNT)]
"""A count of tokens, of a response or of what it answers."""


def why_too_long(text: str | None) -> str | None:
    """Return why a response of this text is not judged, None if it is short enough."""
    if text is None or len(text) <= MAX_RESPONSE_CHARACTERS:
        return None
    return f"the response holds {len(text):,} characters; at most {MAX_RESPONSE_CHARACTERS:,} are judged"
