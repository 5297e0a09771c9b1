"""The graph network behind learned probes in PyTorch, and its training. It imports `scorers` alone."""
