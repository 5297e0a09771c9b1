"""Runs of `eidolon score` computed again for `eidolon check`: one file a task. The tasks import it."""
