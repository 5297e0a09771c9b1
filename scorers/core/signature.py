"""How a score was computed, as data and as the one line beside it (the idea is sacrebleu's).

`dataset=coco-val2014#1f3a…|prompt=describe#9c01…|decoding=greedy|judge=lexicon(…)|policy=…|n=500|…`: always
the same parts in the same order, so that two lines are easy to compare.
"""

import hashlib
import re
from urllib.parse import unquote

from pydantic import Field

from eidolon.scorers.core.distribution import UNKNOWN, package_version
from eidolon.scorers.core.types import Record

HASH_DIGITS = 12
"""48 bits: no two files or prompts of a user collide in practice, and the digits still fit in a table."""

_UNSAFE = re.compile(r"[%|\x00-\x1f\x7f\x85\u2028\u2029]")


class Signature(Record):
    """How scores were computed, in parts. None means that a part is not known."""

    dataset: str | None = None
    """Name and hash: `scenes#1f3a…`."""
    truth: str | None = None
    """The annotator whose word the truth is, and how many images people labelled: `clip/NAME (unverified)`. None where
    people, or the program that drew the images, made it."""
    prompt: str | None = None
    """Name and hash."""
    decoding: str | None = None
    judge: str | None = None
    """The judge's own signature: its name and its options."""
    text: str | None = None
    """The rules from a response to the text that was judged, if there are any beside leaving out reasoning."""
    policy: str | None = None
    """How yes/no answers are read, where there are any."""
    measures: str | None = None
    """Versions of fitted measures, where there are any: `given-knowledge:2`."""
    n: int | None = None
    """Responses that were requested."""
    resamples: int | None = None
    """Bootstrap resamples of the intervals."""
    seed: int | None = None
    """Seed of the bootstrap."""
    eidolon: str = Field(default_factory=package_version)
    """Version of Eidolon that computed the scores."""
    judge_settings: dict[str, str] = Field(default_factory=dict)
    """The judge's settings by name, if it names them. The line leaves them out: they are in `judge` too."""

    def parts(self) -> dict[str, str]:
        """Return the text of each part by its name, in the order of the line; `unknown` if it is None.

        Without rules for it, `text` is left out, without an annotator `truth`, and without fitted measures `measures`.
        """
        return {
            part: UNKNOWN if value is None else str(value)
            for part, value in self
            if part != "judge_settings" and (part not in OPTIONAL or value is not None)
        }

    def line(self) -> str:
        """Return the signature in one line.

        `%`, `|` and line breaks in values are percent-encoded. Everything else stays readable.
        """
        return "|".join(f"{part}={_escape(text)}" for part, text in self.parts().items())


OPTIONAL = ("truth", "text", "measures")
"""Parts that a line has only where they say something."""
PARTS = tuple(name for name in Signature.model_fields if name != "judge_settings")
"""The names of the parts, in the order of the line."""


def parse(line: str) -> dict[str, str]:
    """Return the parts of a signature line by name, unescaped, as `Signature.parts` returned them.

    Only the migration of old run folders needs it: they hold the line alone.

    Raises:
        ValueError: a part is missing, unknown or out of order; the message names it.
    """
    fields = line.split("|")
    parts = {}
    old = tuple(part for part in PARTS if part not in OPTIONAL)
    for expected, field in zip(old, fields, strict=False):
        name, equals, value = field.partition("=")
        if name != expected or not equals:
            raise ValueError(f"not a signature: expected '{expected}=…', found {field!r}")
        parts[name] = unquote(value)
    if len(fields) != len(old):
        raise ValueError(f"not a signature: {len(fields)} parts where there are {len(old)}")
    return parts


def hashed(name: str, content: bytes | str) -> str:
    """Return `name#hash`: the first digits of the SHA-256 of the content (text as UTF-8)."""
    data = content.encode() if isinstance(content, str) else content
    return named_hash(name, hashlib.sha256(data))


def named_hash(name: str, digest: "hashlib._Hash") -> str:
    """Return `name#hash` for a SHA-256 that was computed piece by piece."""
    return f"{name}#{digest.hexdigest()[:HASH_DIGITS]}"


def _escape(value: str) -> str:
    return _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), value)
