"""Published question benchmarks: how each reads an answer, and its numbers. Tasks that score files import it."""
