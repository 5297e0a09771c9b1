"""Readers of published datasets; the registry in `data.datasets` finds each by its name."""
