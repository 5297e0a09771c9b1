"""`eidolon trace`: one answer token by token, with the picture and without. `cli` imports it."""
