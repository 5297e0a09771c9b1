"""`eidolon doctor`: does a model answer alike in every batch and see the picture? `cli` imports it."""
