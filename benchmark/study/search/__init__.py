"""The search for a layout, `eidolon memory search`. `cli` and the JSON schemas import it."""
