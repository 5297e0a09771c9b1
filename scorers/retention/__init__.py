"""Retention: how well a model answers about the image after n tokens of text. `benchmark` imports it."""
