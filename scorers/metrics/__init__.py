"""One module for each metric family, and the scoring of a run. `benchmark` imports it."""
