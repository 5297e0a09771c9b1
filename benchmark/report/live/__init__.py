"""The page of `eidolon run --watch`: what a run has done so far. Only `cli` imports it."""
