"""Hallucination over the length of a response, and what explains it. `benchmark` imports it."""
