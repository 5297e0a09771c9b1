"""The one line beside every score that says how it was computed (the idea is sacrebleu's).

`dataset=coco-val2014#1f3a…|prompt=describe#9c01…|decoding=greedy|judge=lexicon(…)|policy=…|n=500|…`: always
the same parts in the same order, so that two lines can be compared by eye and by program.
"""

import hashlib
import re
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import unquote

PARTS = ("dataset", "prompt", "decoding", "judge", "policy", "n", "resamples", "seed", "eidolon")
UNKNOWN = "unknown"
HASH_DIGITS = 12
"""48 bits: enough to tell apart the files and prompts of a lifetime, short enough for a table."""

_UNSAFE = re.compile(r"[%|\x00-\x1f\x7f\x85\u2028\u2029]")


def signature(
    *,
    dataset: str | None = None,
    prompt: str | None = None,
    decoding: str | None = None,
    judge: str | None = None,
    policy: str | None = None,
    n: int | None = None,
    resamples: int | None = None,
    seed: int | None = None,
) -> str:
    """Return the signature line; what is not given reads `unknown`. `parse` undoes it.

    `%`, `|` and line breaks in values are percent-encoded; everything else stays readable.
    """
    given = (dataset, prompt, decoding, judge, policy, n, resamples, seed, package_version())
    return "|".join(
        f"{part}={UNKNOWN if value is None else _escape(str(value))}"
        for part, value in zip(PARTS, given, strict=True)
    )


def parse(line: str) -> dict[str, str]:
    """Return the parts of a signature line by name, unescaped.

    Raises `ValueError` naming the part that is missing, foreign or out of place.
    """
    fields = line.split("|")
    parts = {}
    for expected, field in zip(PARTS, fields, strict=False):
        name, equals, value = field.partition("=")
        if name != expected or not equals:
            raise ValueError(f"not a signature: expected '{expected}=…', found {field!r}")
        parts[name] = unquote(value)
    if len(fields) != len(PARTS):
        raise ValueError(f"not a signature: {len(fields)} parts where there are {len(PARTS)}")
    return parts


def hashed(name: str, content: bytes | str) -> str:
    """Return `name#hash`: the first digits of the SHA-256 of the content (text as UTF-8)."""
    data = content.encode() if isinstance(content, str) else content
    return f"{name}#{hashlib.sha256(data).hexdigest()[:HASH_DIGITS]}"


def package_version() -> str:
    """Return the installed version of Eidolon, `unknown` when it runs uninstalled."""
    try:
        return version("eidolon")
    except PackageNotFoundError:
        return UNKNOWN


def _escape(value: str) -> str:
    return _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), value)
