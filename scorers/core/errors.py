"""The exception for mistakes that the user can fix."""

from collections.abc import Sequence


class UserError(Exception):
    """A mistake in the user's input: shown as one line, with exit code 2 and no traceback.

    The message names the file, line, field or flag, the value, and the fix.
    """


def did_you_mean(value: str, known: Sequence[str]) -> str:
    """Return a hint: `; did you mean 'x'?` if a known name is close, else `; known: …`, empty without known names."""
    from difflib import get_close_matches

    close = get_close_matches(value, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""
