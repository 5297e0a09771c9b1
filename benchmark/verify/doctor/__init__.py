"""`eidolon doctor`: checks that a model answers the same in every batch and uses the image. `cli` imports it."""
