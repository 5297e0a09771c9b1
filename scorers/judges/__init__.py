"""Judges decide what a response says and match it with the truth. Metrics and `benchmark` import it."""
