"""Numbers of bootstrap resamples, importable without numpy."""

RESAMPLES = 2_000
"""Resamples of a run that names no number."""
MAX_RESAMPLES = 100_000
"""More resamples change no printed digit, and take gigabytes where every category has its intervals."""
