"""Training loops that are handed their samples, and the models they start from. `benchmark` imports it."""
