"""Asking a model: batches, processes, the response cache. Tasks and everything above may import it."""
