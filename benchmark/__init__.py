"""Part of Eidolon."""
