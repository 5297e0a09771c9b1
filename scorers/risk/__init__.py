"""Mentions at risk: how likely a mention is not in the picture, by text alone. `models` and `benchmark` import it."""
