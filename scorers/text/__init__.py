"""Reading English: answer cleaning, lexicons, the two readings, negation. Judges and metrics import it."""
