"""Defaults of decoding, importable without the model interface."""

DEFAULT_TEMPERATURE = 0.6
"""Temperature of a run that sets none. With greedy decoding small models repeat themselves. The original protocols also
sample (THRONE at 0.2, without a seed; here the seed is part of the signature)."""
