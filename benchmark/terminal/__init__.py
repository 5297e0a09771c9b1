"""Safe text, the log, progress bars. Every package of `benchmark` may import it; it imports none."""
