"""The body of an endpoint's answer: read up to a size, whatever the server sends and however it is packed."""

import zlib
from collections.abc import AsyncIterator
from typing import Any

MAX_ANSWER_BYTES = 1 << 24
"""The largest answer, unpacked: 16 MiB. The longest chat completions take some hundred kilobytes."""
PACKINGS = ("gzip", "x-gzip", "deflate")
"""What is unpacked. It is not asked for, but some proxies pack everything."""
_ANY_ZLIB = zlib.MAX_WBITS | 32
"""Detects whether the header is that of gzip or zlib."""


class AnswerBodyError(Exception):
    """The body of an answer is too large or cannot be unpacked. The text continues `the endpoint's answer`."""


async def bound_body(response: Any) -> None:
    """Limit what the client reads of a response; an event hook for the client of the `openai` package.

    Some bytes can be packed versions of gigabytes. So the body is unpacked here, piece by piece, and not by the client.
    """
    packing = response.headers.pop("content-encoding", "identity").strip().lower()
    if packing not in ("", "identity", *PACKINGS):
        raise AnswerBodyError(f"is packed as {packing[:20]!r}, which was not asked for")
    # The client is one of httpx or of httpx2, by the version of `openai`. Both accept streams of their own class only.
    base = next(kind for kind in type(response.stream).__mro__ if kind.__name__ == "AsyncByteStream")
    kind = type("BoundedStream", (_BoundedStream, base), {})
    response.stream = kind(response.stream, packed=packing in PACKINGS)


class _BoundedStream:
    """The unpacked bytes of a stream."""

    def __init__(self, stream: Any, *, packed: bool) -> None:
        self._stream = stream
        self._unpacker = zlib.decompressobj(_ANY_ZLIB) if packed else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_ANSWER_BYTES
        async for piece in self._stream:
            unpacked = piece if self._unpacker is None else self._unpack(piece, left + 1)
            left -= len(unpacked)
            if left < 0:
                raise AnswerBodyError(f"is larger than {MAX_ANSWER_BYTES >> 20} MiB")
            yield unpacked

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _unpack(self, piece: bytes, most: int) -> bytes:
        assert self._unpacker is not None
        try:
            return self._unpacker.decompress(piece, most)
        except zlib.error:
            raise AnswerBodyError("cannot be unpacked") from None
