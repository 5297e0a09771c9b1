"""Scores of responses and answers that exist already, from files. `run` and `cli` import it."""
