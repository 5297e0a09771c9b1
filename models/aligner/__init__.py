"""The aligner: an image encoder and a text encoder with one space, and their training. `benchmark` imports it."""
