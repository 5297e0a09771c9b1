"""Retention of the picture after n tokens of text. Forgetting measures and `benchmark` import it."""
