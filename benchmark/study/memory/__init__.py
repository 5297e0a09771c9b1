"""The memory study, `eidolon memory bench`. `cli` and the JSON schemas import it."""
