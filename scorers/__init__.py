"""Text in, numbers out: what a response says, metrics, statistics. Imports nothing else of Eidolon."""
