"""Hallucination by position in the response, its controls, and the dependency on the image. `benchmark` imports it."""
