"""Training loops, which get their samples from the caller, and the models they start from. `benchmark` imports it."""
