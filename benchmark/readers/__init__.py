"""Readers of published datasets; each is found by its name in `eidolon.benchmark.datasets`."""
