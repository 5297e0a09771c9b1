"""The one kind of exception that is the user's to mend."""


class UserError(Exception):
    """A mistake in the user's input: shown as one line, exit code 2, no traceback.

    The message names the file, line, field or flag, the offending value, and the mend.
    """


def did_you_mean(value: str, known: "list[str] | tuple[str, ...]") -> str:
    """Return `; did you mean 'x'?`, or the known names where none is close, if there are any."""
    from difflib import get_close_matches

    close = get_close_matches(value, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""
