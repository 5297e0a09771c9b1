"""Associative recall: `eidolon memory mqar` and `memory recall`. `cli`, `search` and the JSON schemas import it."""
