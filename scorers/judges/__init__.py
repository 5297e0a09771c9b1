"""Judges: which objects a response names, and which of them are true. Metrics and `benchmark` import it."""
