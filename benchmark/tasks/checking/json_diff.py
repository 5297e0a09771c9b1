"""Where two JSON documents differ."""

from collections.abc import Iterator
from typing import Any

from eidolon.benchmark.tasks.readings import AGREEMENT


def walk(new: Any, old: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield (place, here, there) of every leaf that differs; numbers up to rounding."""
    if isinstance(new, dict) and isinstance(old, dict):
        for key in dict.fromkeys([*new, *old]):
            yield from walk(new.get(key), old.get(key), (*at, str(key)))
    elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        for i, (one, other) in enumerate(zip(new, old, strict=True)):
            yield from walk(one, other, (*at, str(i)))
    elif not _same(new, old):
        yield at, new, old


def _same(new: Any, old: Any) -> bool:
    numbers = (int, float)
    if isinstance(new, numbers) and isinstance(old, numbers) and not isinstance(new, bool):
        return bool(abs(new - old) <= AGREEMENT)
    return bool(new == old)
