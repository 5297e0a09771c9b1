"""The run folder: records, batch files, locks, atomic writes. All above `terminal` may import it."""
