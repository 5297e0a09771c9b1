"""`eidolon trace`: one answer token by token, with and without the image. `cli` imports it."""
