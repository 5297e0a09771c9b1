"""Scenes, the embedded dataset: drawn on the fly, with complete truth. Tasks and above import it."""
