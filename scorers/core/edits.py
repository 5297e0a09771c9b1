"""The text that was judged, and its offsets in the response that it was made from.

A judgement holds the edits that turn a response into the text that its judge read. So a run folder shows what was
read, and every later stage reads the same.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from eidolon.scorers.core.types import Edit, Judgement, Response


class EditedText:
    """A response's text after its edits, with the offsets of one in the other.

    `edits` are in order and do not overlap.
    """

    def __init__(self, raw: str, edits: Sequence[Edit]) -> None:
        pieces: list[str] = []
        # Alternately what is kept and what is replaced: where each begins in the text and in the raw text.
        self._text_starts: list[int] = [0]
        self._raw_starts: list[int] = [0]
        position = length = 0
        for edit in edits:
            pieces += (raw[position : edit.start], edit.text)
            length += edit.start - position
            self._text_starts.append(length)
            self._raw_starts.append(edit.start)
            length += len(edit.text)
            self._text_starts.append(length)
            self._raw_starts.append(edit.end)
            position = edit.end
        pieces.append(raw[position:])
        self._raw = raw
        self.text = "".join(pieces)

    def raw_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the raw offsets of the characters [start, end) of the text, which must not be empty.

        A character in place of several raw ones spans all of them.
        """
        first = bisect_right(self._text_starts, start) - 1
        last = bisect_right(self._text_starts, end - 1) - 1
        raw_start = self._raw_starts[first]
        if not first % 2:
            raw_start += start - self._text_starts[first]
        if last % 2:
            return raw_start, self._raw_starts[last + 1]
        return raw_start, self._raw_starts[last] + end - self._text_starts[last]

    def text_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the text of a raw span: the inverse of `raw_span`."""
        piece = bisect_right(self._raw_starts, start) - 1
        first = self._text_starts[piece]
        if not piece % 2:
            first += start - self._raw_starts[piece]
        return first, self.text_offset(end)

    def text_offset(self, raw: int) -> int:
        """Return how many characters of the text begin before a raw offset."""
        piece = bisect_left(self._raw_starts, raw) - 1
        if piece < 0:
            return 0
        if piece % 2:
            return self._text_starts[piece + 1]
        return self._text_starts[piece] + raw - self._raw_starts[piece]


def edited_response(response: Response, edits: Sequence[Edit]) -> Response:
    """Return a response with the text that is judged, and with its tokens' offsets in that text."""
    if not edits or response.response is None:
        return response
    edited = EditedText(response.response, edits)
    ends = response.token_ends
    return response.model_copy(
        update={
            "response": edited.text,
            "token_ends": None if ends is None else tuple(edited.text_offset(end) for end in ends),
        }
    )


def place_in_response(judgement: Judgement, response: Response, edits: Sequence[Edit]) -> Judgement:
    """Return the judgement of an edited text as one of the response itself: its offsets and edits."""
    if not edits or response.response is None:
        return judgement
    raw = response.response
    edited = EditedText(raw, edits)
    mentions = []
    for mention in judgement.mentions:
        if mention.end > mention.start:
            start, end = edited.raw_span(mention.start, mention.end)
            mention = mention.model_copy(update={"start": start, "end": end, "text": raw[start:end]})
        mentions.append(mention)
    return judgement.model_copy(update={"mentions": tuple(mentions), "edits": tuple(edits)})


def as_judged(response: Response, judgement: Judgement) -> tuple[Response, Judgement]:
    """Return a response and its judgement as the judge saw them: the edited text, and the offsets in it.

    Metrics count words and places of that text.
    """
    edits = judgement.edits
    if not edits or response.response is None:
        return response, judgement
    edited = EditedText(response.response, edits)
    mentions = []
    for mention in judgement.mentions:
        if mention.end > mention.start:
            start, end = edited.text_span(mention.start, mention.end)
            mention = mention.model_copy(update={"start": start, "end": end, "text": edited.text[start:end]})
        mentions.append(mention)
    return (
        edited_response(response, edits),
        judgement.model_copy(update={"mentions": tuple(mentions), "edits": ()}),
    )
