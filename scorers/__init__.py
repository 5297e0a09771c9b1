"""Text in, numbers out: judges, metrics, statistics. It imports no other package of Eidolon."""
