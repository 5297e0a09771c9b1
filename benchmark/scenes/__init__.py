"""Scenes, the built-in dataset: images drawn on demand, with complete ground truth. Tasks and above import it."""
