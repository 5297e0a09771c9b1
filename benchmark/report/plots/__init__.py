"""The figures of `eidolon plot`: one module for each kind, and what chooses and writes them. Only `cli` imports it."""
