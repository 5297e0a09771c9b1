"""What `eidolon train` does: from a recipe to a checkpoint, its evaluation and its card. `cli` imports it."""
