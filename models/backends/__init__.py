"""One module for each way to run a model, and the registry that finds them. `benchmark` imports it."""
