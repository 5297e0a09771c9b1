"""Reading English: lexicons, the two readings, negation, yes/no answers. Judges and metrics import it."""
