"""Discovery of objects that no category covers, from the nouns of responses. `benchmark` imports it."""
