"""The retention probe: questions after texts of a set length. `forget` and `study` import it."""
