"""The study of associative recall, `eidolon memory mqar`. `cli` and the JSON schemas import it."""
