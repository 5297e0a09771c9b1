"""The setting `thresholds` as numbers: votes of `throne`, or a score of `detection`."""

from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.scorers.core.errors import UserError


def whole_thresholds(settings: ScoreSettings) -> tuple[int, ...]:
    """Return the thresholds of `throne`, numbers of votes.

    Raises:
        UserError: one is not a whole number.
    """
    for text in settings.thresholds:
        if not text.isascii() or not text.isdigit():
            raise UserError(f"--threshold {text}: must be a whole number of votes for --metric throne")
    return tuple(map(int, settings.thresholds))


def share_threshold(settings: ScoreSettings) -> float | None:
    """Return the threshold of `detection`, a score from 0 to 1, or None.

    Raises:
        UserError: there are several, or it is not a number in that range.
    """
    texts = settings.thresholds
    if len(texts) > 1:
        raise UserError(f"--threshold {','.join(texts)}: must be one number for --metric detection")
    try:
        found = float(texts[0]) if texts else None
    except ValueError:
        raise UserError(f"--threshold {texts[0]}: must be a number for --metric detection") from None
    if found is not None and not 0 <= found <= 1:
        raise UserError(f"--threshold {found:g}: must be between 0 and 1 for --metric detection")
    return found
