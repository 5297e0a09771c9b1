"""The risk network in PyTorch, and how it is trained. It imports `scorers` alone; `benchmark` does not need it."""
